import { mkdirSync, readFileSync } from 'node:fs'
import { type Browser, type BrowserContext, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { launch } from './launch.ts'

const shots = new URL('./shots/', import.meta.url).pathname
const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')

/** Sizes that every page is looked at. */
export const sizes = {
  phone: { width: 360, height: 740 },
  desk: { width: 1440, height: 900 },
  wall: { width: 3840, height: 2160 },
}

export interface Look {
  size?: keyof typeof sizes
  scheme?: 'light' | 'dark'
}

/** A page that remembers what its console and its network said. */
export interface Tab {
  page: Page
  /** Errors and warnings of the browser's console, and requests that left the server. */
  troubles: string[]
  close: () => Promise<void>
}

/** Launches one browser for the tests of a file. */
export function useBrowser(): { open: (url: string, look?: Look) => Promise<Tab> } {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser?.close())
  const open = async (url: string, look: Look = {}): Promise<Tab> => {
    const context: BrowserContext = await browser.newContext({
      viewport: sizes[look.size ?? 'desk'],
      colorScheme: look.scheme ?? 'light',
      reducedMotion: 'reduce',
      timezoneId: 'UTC',
    })
    const page = await context.newPage()
    const troubles: string[] = []
    const origin = new URL(url).origin
    page.on('console', (m) => {
      if (m.type() === 'error' || m.type() === 'warning') troubles.push(`${m.type()}: ${m.text()}`)
    })
    page.on('pageerror', (e) => troubles.push(`exception: ${e.message}`))
    page.on('request', (r) => {
      if (/^https?:/.test(r.url()) && new URL(r.url()).origin !== origin) troubles.push(`left the server: ${r.url()}`)
    })
    await page.goto(url)
    return { page, troubles, close: () => context.close() }
  }
  return { open }
}

/** Keeps a picture of the page, to be looked at. */
export async function shot(page: Page, name: string): Promise<void> {
  mkdirSync(shots, { recursive: true })
  await page.screenshot({ path: `${shots}${name}.png` })
}

/** Fails if axe finds what keeps people from using the page. */
export async function accessible(page: Page, what = page.url()): Promise<void> {
  // Through the debugger, since the page's policy lets no script be added.
  const session = await page.context().newCDPSession(page)
  await session.send('Runtime.evaluate', { expression: axe })
  const run = await session.send('Runtime.evaluate', {
    expression: `axe.run(document, { resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(' | '))))`,
    awaitPromise: true,
    returnByValue: true,
  })
  await session.detach()
  expect(JSON.parse(String(run.result.value)), what).toEqual([])
}

/** Fails if the page is wider than its window: something is cut, or scrolls sideways. */
export async function fits(page: Page): Promise<void> {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth] as const)
  expect(wide, `width of ${page.url()}`).toBeLessThanOrEqual(room)
}
