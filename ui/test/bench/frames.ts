import { cpus, loadavg } from 'node:os'
import type { Browser, Page } from 'playwright-core'

/** How a page moved while something was done to it. */
export interface Frames {
  seconds: number
  /** Frames a second, on average, and in the slowest twentieth of frames. */
  average: number
  slow: number
  /** Milliseconds. */
  worst: number
  /** Tasks that kept the page from answering for more than 50 ms, and the longest of them in milliseconds. */
  long: number
  longest: number
  /** Milliseconds of a processor that the page's main thread took for a frame: what is left if the machine does nothing else. */
  cpu: number
  /** The same of all processes and threads of the browser: those that draw are as many as the page. */
  all: number
  /** How many processors had other things to do meanwhile, of all. */
  others: number
}

/** Milliseconds of a processor that a page's main thread has taken so far. */
export async function mainThread(page: Page): Promise<() => Promise<number>> {
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable', { timeDomain: 'threadTicks' })
  return async () => {
    const { metrics } = await session.send('Performance.getMetrics')
    return (metrics.find((m) => m.name === 'TaskDuration')?.value ?? 0) * 1000
  }
}

/** Milliseconds of a processor that all processes of a browser have taken so far. */
async function wholeBrowser(browser: Browser): Promise<() => Promise<number>> {
  const session = await browser.newBrowserCDPSession()
  return async () => {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo')
    return processInfo.reduce((a, p) => a + p.cpuTime, 0) * 1000
  }
}

// Milliseconds that all processors of the machine were busy.
const machine = () => cpus().reduce((a, { times: t }) => a + t.user + t.nice + t.sys + t.irq, 0)

interface Recorder {
  times: number[]
  tasks: number[]
  on: boolean
}

declare global {
  interface Window {
    recorder: Recorder
    drawn?: number
  }
}

/** Has pages note when what selector finds is there, in milliseconds from the start of the navigation. */
export async function noteFirst(page: Page, selector: string): Promise<void> {
  await page.addInitScript((wanted) => {
    // Told of changes, and not looking in each frame: that would cost more than what is measured where it takes long.
    const watch = new MutationObserver(() => {
      if (!document.querySelector(wanted)) return
      watch.disconnect()
      // The frame after the one in which it is there has it on screen.
      requestAnimationFrame(() => requestAnimationFrame(() => (window.drawn = performance.now())))
    })
    watch.observe(document, { childList: true, subtree: true })
  }, selector)
}

/** Counts frames while act runs. */
export async function frames(page: Page, act: () => Promise<void>): Promise<Frames> {
  await page.evaluate(() => {
    const r: Recorder = { times: [], tasks: [], on: true }
    window.recorder = r
    new PerformanceObserver((list) => list.getEntries().forEach((e) => r.on && r.tasks.push(e.duration))).observe({
      type: 'longtask',
    })
    const tick = (t: number) => {
      r.times.push(t)
      if (r.on) requestAnimationFrame(tick)
    }
    requestAnimationFrame(tick)
  })
  const browser = page.context().browser()
  if (!browser) throw new Error('the page has no browser')
  const [used, whole] = [await mainThread(page), await wholeBrowser(browser)]
  const figures = async () => [await used(), await whole(), machine(), process.cpuUsage(), Date.now()] as const
  const before = await figures()
  await act()
  const after = await figures()
  const { times, tasks } = await page.evaluate(() => {
    window.recorder.on = false
    return window.recorder
  })
  const cpu = after[0] - before[0]
  const all = after[1] - before[1]
  const own = (after[3].user + after[3].system - before[3].user - before[3].system) / 1000
  const gaps = times.slice(1).map((t, i) => t - (times[i] ?? t))
  const sorted = [...gaps].sort((a, b) => b - a)
  const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000
  const tail = sorted.slice(0, Math.max(1, Math.floor(sorted.length / 20)))
  return {
    seconds,
    average: gaps.length / seconds,
    slow: 1000 / (tail.reduce((a, b) => a + b, 0) / tail.length),
    worst: sorted[0] ?? 0,
    long: tasks.length,
    longest: Math.max(0, ...tasks),
    cpu: cpu / Math.max(1, gaps.length),
    all: all / Math.max(1, gaps.length),
    others: Math.max(0, (after[2] - before[2] - all - own) / (after[4] - before[4])),
  }
}

/** A line of figures. */
export function told(what: string, f: Frames): string {
  const n = (v: number) => v.toFixed(0).padStart(5)
  return `${what.padEnd(34)} ${n(f.average)} frames/s, slowest twentieth ${n(f.slow)}/s, worst frame ${n(f.worst)} ms, ${f.long} long tasks (at most ${f.longest.toFixed(0)} ms); ${f.cpu.toFixed(1)} ms of a processor a frame, ${f.all.toFixed(1)} with all that draws; ${besides(f.others)}`
}

// What the machine did besides: figures in milliseconds of the clock mean little where that is much.
function besides(others: number): string {
  return `others kept ${others.toFixed(1)} of ${cpus().length} processors busy, load ${loadavg()[0]?.toFixed(1)}`
}

/** Tells what the machine has done since, besides what took so many milliseconds of a processor. */
export function busy(): (own: number) => string {
  const [begun, before] = [Date.now(), machine()]
  return (own) => besides(Math.max(0, (machine() - before - own) / (Date.now() - begun)))
}

/** Milliseconds of a processor that a page's main thread takes for each tree that comes while nothing is done to it, of some. */
export async function perTree(page: Page, trees: number): Promise<number> {
  const used = await mainThread(page)
  const next = () => page.waitForResponse(/\/pando\/api\/v1\/tree$/)
  // What follows from a tree is drawn before the next one is asked for.
  await next()
  await page.waitForTimeout(2000)
  const before = await used()
  for (let i = 0; i < trees; i++) await next()
  await page.waitForTimeout(2000)
  return ((await used()) - before) / trees
}
