import { mkdirSync } from 'node:fs'
import { inject, it } from 'vitest'
import { useBrowser } from './browser.ts'

// The pictures of the docs. They are no test, and are made by make screenshots.
const planet = inject('planet')
const { open } = useBrowser()
const images = new URL('../../docs/images/', import.meta.url).pathname

const rate = 'sum by (zone) (rate(http_requests_total[1m]))'
const pages = {
  query: { path: `/query?g0.expr=${encodeURIComponent(rate)}&g0.tab=graph&g0.range_input=5m`, ready: '.uplot' },
  why: {
    path: `/why?expr=${encodeURIComponent('sum by (zone) (rate(http_requests_total{zone="eu"}[2m]))')}&analyze=1`,
    ready: 'h1',
  },
  planet: { path: '/planet', ready: 'svg' },
  rollouts: { path: '/rollouts', ready: 'table' },
}

it.each(Object.keys(pages) as (keyof typeof pages)[])('%s', async (name) => {
  mkdirSync(images, { recursive: true })
  for (const scheme of ['light', 'dark'] as const) {
    const tab = await open(planet + pages[name].path, { scheme })
    await tab.page.locator(pages[name].ready).first().waitFor()
    await tab.page.waitForLoadState('networkidle')
    await tab.page.screenshot({ path: `${images}${name}-${scheme}.png` })
    await tab.close()
  }
})
