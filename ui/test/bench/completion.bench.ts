import { createServer } from 'node:http'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launch } from '../launch.ts'
import { built } from './build.ts'
import { busy, mainThread } from './frames.ts'
import { startManyLeaves, type ManyLeaves } from './manyleaves.ts'

// What people wait for without noticing.
const target = 100

let browser: Browser
let root: ManyLeaves
let url: string
const ends: (() => unknown)[] = []

beforeAll(async () => {
  root = await startManyLeaves()
  ends.push(root.stop)
  const { serve, remove } = built()
  ends.push(remove)
  const server = createServer((req, res) =>
    /^\/(api|pando)\//.test(req.url ?? '') ? root.pass(req, res) : serve(req, res),
  )
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const a = server.address()
  url = `http://127.0.0.1:${typeof a === 'object' && a ? a.port : 0}`
  browser = await launch()
  ends.unshift(
    () => browser.close(),
    () => server.close(),
  )
})
afterAll(async () => {
  for (const end of ends) await end()
})

function told(what: string, times: number[], more = ''): void {
  const sorted = [...times].sort((a, b) => a - b)
  const n = (v = 0) => v.toFixed(0).padStart(5)
  const within = times.filter((t) => t <= target).length
  console.log(
    `${what.padEnd(52)} median ${n(sorted[Math.floor(sorted.length / 2)])} ms, least ${n(sorted[0])}, most ${n(sorted.at(-1))}; ${within} of ${times.length} within ${target} ms${more}`,
  )
}

describe('completion over a thousand leaves', () => {
  it('is answered by the root', async () => {
    const asks: [string, string][] = [
      ['all names of metrics', '/api/v1/label/__name__/values?limit=10000'],
      ['names that begin so', '/api/v1/label/__name__/values?limit=1000&match[]={__name__=~"http_req.*"}'],
      ['names of labels', '/api/v1/labels?limit=1000&match[]={__name__="http_requests_0004_total"}'],
      ['values of zone', '/api/v1/label/zone/values?limit=1000'],
      ['values of pod', '/api/v1/label/pod/values?limit=1000&match[]={__name__="http_requests_0004_total"}'],
      ['what metrics mean', '/api/v1/metadata?limit=10000'],
    ]
    for (const [what, path] of asks) {
      const times: number[] = []
      const before = root.cpu()
      const machine = busy()
      for (let i = 0; i < 20; i++) {
        const begun = performance.now()
        const answer = await fetch(root.url + path)
        expect(answer.status).toBe(200)
        expect((await answer.text()).length).toBeGreaterThan(50)
        times.push(performance.now() - begun)
      }
      const after = root.cpu()
      const cpu = before === undefined || after === undefined ? undefined : (after - before) / times.length
      told(
        `${what}, by the API`,
        times,
        `; ${cpu?.toFixed(0) ?? '?'} ms of a processor for all tiers; ${machine(cpu === undefined ? 0 : cpu * times.length)}`,
      )
    }
  })

  it('is shown in the editor', async () => {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
    page.setDefaultTimeout(60_000)
    await page.goto(url + '/query')
    await page.locator('.cm-content').first().waitFor()
    await page.evaluate(noteList)
    const machine = busy()
    await page.locator('.cm-content').first().click()
    // As fast as people are who know what they want.
    await page.waitForTimeout(250)
    const first = await keyed(page, 'h')
    told('names, the first key after the editor was entered', [first])
    const used = await mainThread(page)
    const before = await used()
    const later: number[] = []
    for (const key of 'chnganhgcnhagcnh') later.push(await keyed(page, key))
    const each = ((await used()) - before) / later.length
    told('names, later keys', later, `; ${each.toFixed(0)} ms of a processor for clearing, the key and its list`)
    console.log(`  meanwhile ${machine(0)}, the root among them`)
    await page.close()
  })
})

declare global {
  interface Window {
    listed?: number
    pressed?: number
  }
}

// Notes when a key was pressed, and when a list stood on screen after it.
function noteList(): void {
  document.addEventListener('keydown', (e) => (window.pressed = e.timeStamp), true)
  new MutationObserver(() => {
    if (window.listed !== undefined || !document.querySelector('.cm-tooltip-autocomplete li')) return
    window.listed = 0
    requestAnimationFrame(() => setTimeout(() => (window.listed = performance.now())))
  }).observe(document, { childList: true, subtree: true })
}

async function clear(page: Page): Promise<void> {
  await page.keyboard.press('Escape')
  await page.keyboard.press('Control+a')
  await page.keyboard.press('Delete')
  await page.locator('.cm-tooltip-autocomplete').waitFor({ state: 'detached' })
}

/** Milliseconds from a key in an empty editor to a list. */
async function keyed(page: Page, key: string): Promise<number> {
  await clear(page)
  await page.evaluate(() => delete window.listed)
  await page.keyboard.press(key)
  await page.waitForFunction(() => (window.listed ?? 0) > 0, undefined, { polling: 20 })
  return page.evaluate(() => (window.listed ?? 0) - (window.pressed ?? 0))
}
