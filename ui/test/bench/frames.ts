import type { Page } from 'playwright-core'

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
    const look = () => {
      // The frame after the one in which it is there has it on screen.
      if (document.querySelector(wanted)) requestAnimationFrame(() => (window.drawn = performance.now()))
      else requestAnimationFrame(look)
    }
    look()
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
  const used = await mainThread(page)
  const before = await used()
  await act()
  const cpu = (await used()) - before
  const { times, tasks } = await page.evaluate(() => {
    window.recorder.on = false
    return window.recorder
  })
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
  }
}

/** A line of figures. */
export function told(what: string, f: Frames): string {
  const n = (v: number) => v.toFixed(0).padStart(5)
  return `${what.padEnd(34)} ${n(f.average)} frames/s, slowest twentieth ${n(f.slow)}/s, worst frame ${n(f.worst)} ms, ${f.long} long tasks (at most ${f.longest.toFixed(0)} ms); ${f.cpu.toFixed(1)} ms of a processor a frame`
}
