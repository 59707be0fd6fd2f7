import { describe, expect, inject, it } from 'vitest'
import { pages } from '../src/pages.ts'
import { accessible, fits, shot, useBrowser } from './browser.ts'

const planet = inject('planet')
const { open } = useBrowser()

describe('the frame', () => {
  it('opens every page from its list, and says how the tree is', async () => {
    const tab = await open(planet)
    await tab.page.getByRole('link', { name: /6 leaves/ }).waitFor()
    for (const p of pages.filter((p) => p.group !== 'hidden')) {
      await tab.page.getByRole('navigation').getByRole('link', { name: p.title, exact: true }).click()
      await tab.page.getByRole('heading', { level: 1, name: p.title }).waitFor()
      expect(new URL(tab.page.url()).pathname).toBe('/' + p.path)
    }
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it.each([
    ['phone', 'light'],
    ['phone', 'dark'],
    ['desk', 'light'],
    ['desk', 'dark'],
    ['wall', 'dark'],
  ] as const)(
    'every page fits a %s in %s, and can be used by all',
    async (size, scheme) => {
      for (const p of pages) {
        const tab = await open(`${planet}/${p.path}`, { size, scheme })
        await tab.page.getByRole('heading', { level: 1 }).waitFor()
        await tab.page.waitForLoadState('networkidle')
        await fits(tab.page)
        if (size !== 'wall') await accessible(tab.page)
        await shot(tab.page, `${p.path}-${size}-${scheme}`)
        expect(tab.troubles, p.path).toEqual([])
        await tab.close()
      }
    },
    300_000,
  )

  it('opens links of Prometheus', async () => {
    const tab = await open(`${planet}/graph?g0.expr=up`)
    await tab.page.getByRole('heading', { level: 1, name: 'Query' }).waitFor()
    expect(new URL(tab.page.url()).search).toContain('g0.expr=up')
    await tab.close()
  })
})
