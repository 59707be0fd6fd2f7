import { loadavg } from 'node:os'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serveSimulated } from '../simulated.ts'
import { launch } from '../launch.ts'
import { built } from './build.ts'
import { frames, mainThread, noteFirst, perTree, told } from './frames.ts'

const zones = 40
const leaves = 10_000
const seconds = 5

let browser: Browser
let url: string
const ends: (() => unknown)[] = []

beforeAll(async () => {
  const { serve, remove } = built()
  const simulated = await serveSimulated({ zones, leaves }, serve)
  url = simulated.url
  browser = await launch()
  ends.push(
    () => browser.close(),
    () => simulated.server.close(),
    remove,
  )
  console.log(`${leaves} leaves in ${zones} zones; load of the machine ${loadavg()[0]?.toFixed(1)}`)
})
afterAll(async () => {
  for (const end of ends) await end()
})

async function open(path: string, selector: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  page.setDefaultTimeout(120_000)
  await noteFirst(page, selector)
  const used = await mainThread(page)
  await page.goto(url + path)
  await page.waitForFunction(() => window.drawn !== undefined)
  const { drawn, fetched, waited } = await page.evaluate(() => {
    const tree = performance
      .getEntriesByType('resource')
      .find((e) => e.name.endsWith('/tree')) as PerformanceResourceTiming
    return { drawn: window.drawn ?? 0, fetched: tree.responseEnd, waited: tree.responseEnd - tree.startTime }
  })
  console.log(
    `${(path + ', first draw').padEnd(34)} ${drawn.toFixed(0).padStart(5)} ms from the navigation, ${(drawn - fetched).toFixed(0)} ms from having the tree (which took ${waited.toFixed(0)} ms); ${(await used()).toFixed(0)} ms of a processor`,
  )
  return page
}

async function still(page: Page) {
  const cost = await perTree(page, 3)
  console.log(`${'  a new tree, nothing done'.padEnd(34)} ${cost.toFixed(0).padStart(5)} ms of a processor`)
}

// Moves the pointer over a rectangle for some seconds, one step for each call of step.
async function wander(page: Page, step: (x: number, y: number) => Promise<void>) {
  const box = await page.locator('[role=img], [role=table]').first().boundingBox()
  if (!box) throw new Error('nothing is drawn')
  const begun = Date.now()
  for (let i = 0; Date.now() - begun < seconds * 1000; i++) {
    const x = box.x + box.width * (0.5 + 0.4 * Math.sin(i / 7))
    const y = Math.min(860, box.y + Math.min(box.height, 500) * (0.5 + 0.4 * Math.cos(i / 11)))
    await step(x, y)
  }
}

const move = (page: Page) => (x: number, y: number) => page.mouse.move(x, y)

describe('a planet of ten thousand leaves', () => {
  it('is drawn, hovered, moved and zoomed', async () => {
    const page = await open('/planet', 'canvas')
    await still(page)
    console.log(told('  hovering', await frames(page, () => wander(page, move(page)))))
    let turn = 0
    const zoom = async (x: number, y: number) => {
      await page.mouse.move(x, y)
      await page.keyboard.down('Control')
      await page.mouse.wheel(0, turn++ % 40 < 20 ? -60 : 60)
      await page.keyboard.up('Control')
    }
    console.log(told('  zooming', await frames(page, () => wander(page, zoom))))
    await page.keyboard.down('Control')
    for (let i = 0; i < 6; i++) await page.mouse.wheel(0, -150)
    await page.keyboard.up('Control')
    await page.mouse.down()
    console.log(told('  moving, enlarged', await frames(page, () => wander(page, move(page)))))
    await page.mouse.up()
    await page.close()
  })

  it('is listed, scrolled and hovered', async () => {
    const page = await open('/leaves', '[role=row][aria-rowindex="3"]')
    await still(page)
    console.log(told('  hovering', await frames(page, () => wander(page, move(page)))))
    let turn = 0
    const scroll = async (x: number, y: number) => {
      await page.mouse.move(x, y)
      await page.mouse.wheel(0, turn++ % 200 < 150 ? 400 : -400)
    }
    console.log(told('  scrolling', await frames(page, () => wander(page, scroll))))
    await page.getByLabel('Search leaves').fill('zone-18 lag>5s')
    await page.waitForFunction(() =>
      /^\d[\d\u202f]* of 10/.test(document.querySelector('[role=status]')?.textContent ?? ''),
    )
    expect(await page.locator('[role=status]').first().textContent()).toContain('of 10')
    await page.close()
  })
})
