import { describe, expect, inject, it } from 'vitest'
import { accessible, fits, shot, useBrowser } from './browser.ts'

const planet = inject('planet')
const { open } = useBrowser()

describe('the query page', () => {
  it('asks what is written, shows the answer, and tells how far to trust it', async () => {
    const tab = await open(`${planet}/query`)
    const editor = tab.page.getByRole('textbox', { name: 'Expression of panel 1' })
    await editor.click()
    await tab.page.keyboard.type('count by (zone) (up)')
    await tab.page.keyboard.press('Escape')
    await tab.page.getByText(/would ask 6 of 6 leaves/).waitFor()
    await tab.page.keyboard.press('Enter')
    const result = tab.page.getByRole('table', { name: 'Result' })
    await result.getByText('{zone="eu"}').waitFor()
    expect(await result.getByRole('row').count()).toBe(3)
    const trust = tab.page.getByRole('group', { name: 'How far this answer can be trusted' })
    await trust.getByText('whole', { exact: true }).waitFor()
    await trust.getByText('6 of 6 leaves').waitFor()
    expect(await trust.getByRole('link', { name: 'whole' }).getAttribute('href')).toMatch(/\/why\?id=console-/)
    expect(new URL(tab.page.url()).searchParams.get('g0.expr')).toBe('count by (zone) (up)')
    await accessible(tab.page)
    await shot(tab.page, 'query-answer')
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('draws ranges, on a phone as well', async () => {
    for (const size of ['desk', 'phone'] as const) {
      const tab = await open(`${planet}/graph?g0.expr=sum by (zone) (up)&g0.tab=0&g0.range_input=5m`, {
        size,
        scheme: 'dark',
      })
      await tab.page.getByRole('img', { name: 'Graph of 2 series' }).waitFor()
      await tab.page.getByRole('group', { name: 'Lines' }).getByRole('button').first().click()
      await tab.page.getByText('1 hidden', { exact: false }).waitFor()
      await fits(tab.page)
      await accessible(tab.page)
      await shot(tab.page, `query-graph-${size}`)
      expect(tab.troubles).toEqual([])
      await tab.close()
    }
  })

  it('adds its scope to every selector', async () => {
    const tab = await open(`${planet}/query?g0.expr=count(up) by (zone) / count(up) by (zone)&scope.zone=eu`)
    await tab.page.getByText('count(up{zone="eu"}) by (zone) / count(up{zone="eu"}) by (zone)').waitFor()
    const result = tab.page.getByRole('table', { name: 'Result' })
    await result.getByText('{zone="eu"}').waitFor()
    expect(await result.getByRole('row').count()).toBe(2)
    await tab.close()
  })

  it('shows what an expression is made of, and counts its parts', async () => {
    const tab = await open(`${planet}/query?g0.expr=sum(up) by (zone)&g0.tab=tree`)
    await tab.page.getByRole('button', { name: 'Count sum by (zone) (up)' }).click()
    await tab.page.getByText('2 series').waitFor()
    expect(tab.troubles).toEqual([])
    await tab.close()
  })

  it('says what is wrong with an expression, and what to do', async () => {
    const tab = await open(`${planet}/query?g0.expr=sum(`)
    const alert = tab.page.getByRole('alert')
    await alert.getByText(/parse error/).waitFor()
    await alert.getByText('Change the request as the text says.').waitFor()
    await accessible(tab.page)
    await shot(tab.page, 'query-error')
    await tab.close()
  })
})
