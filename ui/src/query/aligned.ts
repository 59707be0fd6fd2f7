import { numeric } from '../format/numbers.ts'
import type { RangeSeries } from './results.ts'

/** Times at which a range was evaluated, in seconds. */
export interface Grid {
  start: number
  end: number
  step: number
}

/** The times of a grid. */
export function timesOf({ start, end, step }: Grid): number[] {
  const n = Math.floor((end - start) / step + 1e-6) + 1
  // Each is computed anew, to the millisecond: a running sum would drift off the answer's times.
  return Array.from({ length: Math.max(n, 0) }, (_, i) => Math.round((start + i * step) * 1000) / 1000)
}

/** The values of a series at each time of a grid; null where it has none, so that a gap stays a gap, and for NaN and infinities, which no line can reach. */
export function valuesOn(s: RangeSeries, times: number[], step: number): (number | null)[] {
  const out: (number | null)[] = Array.from({ length: times.length }, () => null)
  const start = times[0] ?? 0
  for (const [t, text] of s.values ?? []) {
    const i = Math.round((t - start) / step)
    const v = numeric(text)
    if (i >= 0 && i < out.length && Number.isFinite(v)) out[i] = v
  }
  return out
}

/**
 * Values stacked upon each other, in the order of series. What is missing at a
 * time takes no height there, so that what stands upon it has a ground; times at
 * which nothing is shown stay gaps, and hidden series have no values.
 */
export function stacked(series: (number | null)[][], shown: (i: number) => boolean): (number | null)[][] {
  const times = series[0]?.length ?? 0
  const sum: number[] = Array.from({ length: times }, () => 0)
  const some = sum.map((_, k) => series.some((values, i) => shown(i) && values[k] !== null))
  return series.map((values, i) =>
    values.map((v, k) => (shown(i) && some[k] ? (sum[k] = (sum[k] ?? 0) + (v ?? 0)) : null)),
  )
}

/** The least distance of samples in an answer whose grid is not known; undefined if there are fewer than two times. */
export function stepIn(result: RangeSeries[]): number | undefined {
  let least: number | undefined
  for (const s of result) {
    const v = s.values ?? s.histograms ?? []
    for (let i = 1; i < v.length; i++) {
      const d = (v[i]?.[0] ?? 0) - (v[i - 1]?.[0] ?? 0)
      if (d > 0 && (least === undefined || d < least)) least = d
    }
  }
  return least
}
