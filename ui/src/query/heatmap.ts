import { numeric } from '../format/numbers.ts'
import type { RangeSeries } from './results.ts'

/** Counts by time and by bucket: cells[column][row], columns the times of the grid, rows from the lowest bucket up. */
export interface Heatmap {
  /** Bounds of rows: row r is from bounds[r] to bounds[r + 1]. */
  bounds: number[]
  cells: Float64Array[]
  max: number
  /** Where the counts come from. */
  kind: 'native' | 'classic'
  /** How many histograms are added up: native ones, or sets of classic buckets that differ in le alone. */
  summed: number
}

/** The most rows that are drawn; neighbours are joined until there are no more. */
export const maxRows = 160

/** The heatmap of native histograms or, if there are none, of classic buckets (series that differ in le). */
export function heatmapOf(result: RangeSeries[], times: number[], step: number): Heatmap | undefined {
  if (times.length === 0) return undefined
  const h = result.some((s) => (s.histograms?.length ?? 0) > 0)
    ? native(result, times, step)
    : result.some((s) => s.metric.le !== undefined)
      ? classic(result, times, step)
      : undefined
  if (!h || h.bounds.length < 2) return undefined
  for (const column of h.cells) for (const c of column) if (c > h.max) h.max = c
  return h
}

const columns = (times: number[], rows: number) => times.map(() => new Float64Array(rows))

function rowsOf(bounds: Iterable<number>): number[] {
  let rows = [...new Set(bounds)].filter((b) => !Number.isNaN(b)).sort((a, b) => a - b)
  // Halving joins pairs of neighbours; the outermost bounds stay.
  while (rows.length - 1 > maxRows) rows = rows.filter((_, i) => i % 2 === 0 || i === rows.length - 1)
  return rows
}

/** The row that holds a value, by halving. */
function rowOf(bounds: number[], value: number): number {
  let low = 0
  let high = bounds.length - 2
  while (low < high) {
    const mid = (low + high + 1) >> 1
    if ((bounds[mid] ?? 0) <= value) low = mid
    else high = mid - 1
  }
  return low
}

function native(result: RangeSeries[], times: number[], step: number): Heatmap {
  const all = new Set<number>()
  for (const s of result)
    for (const [, h] of s.histograms ?? [])
      for (const [, left, right] of h.buckets ?? []) all.add(numeric(left)).add(numeric(right))
  const bounds = rowsOf(all)
  const cells = columns(times, Math.max(bounds.length - 1, 0))
  const start = times[0] ?? 0
  for (const s of result)
    for (const [t, h] of s.histograms ?? []) {
      const column = cells[Math.round((t - start) / step)]
      if (column)
        for (const [, left, right, n] of h.buckets ?? [])
          spread(column, bounds, numeric(left), numeric(right), numeric(n))
    }
  const summed = result.filter((s) => (s.histograms?.length ?? 0) > 0).length
  return { bounds, cells, max: 0, kind: 'native', summed }
}

// A bucket may be as wide as several rows where series have different schemas: its
// count is spread by width, since nothing is known of where in it values were.
function spread(column: Float64Array, bounds: number[], left: number, right: number, n: number): void {
  if (!(n > 0)) return
  const first = rowOf(bounds, left)
  const last = Math.max(first, rowOf(bounds, right) - ((bounds[rowOf(bounds, right)] ?? 0) >= right ? 1 : 0))
  const width = right - left
  for (let r = first; r <= last; r++) {
    const low = Math.max(bounds[r] ?? left, left)
    const high = Math.min(bounds[r + 1] ?? right, right)
    const share =
      first === last || !Number.isFinite(width) || width <= 0 ? 1 / (last - first + 1) : (high - low) / width
    column[r] = (column[r] ?? 0) + n * share
  }
}

function classic(result: RangeSeries[], times: number[], step: number): Heatmap {
  const series = result.filter((s) => s.metric.le !== undefined)
  const uppers = [...new Set(series.map((s) => numeric(s.metric.le ?? '')))]
    .filter((b) => !Number.isNaN(b))
    .sort((a, b) => a - b)
  const groups = new Set(series.map((s) => JSON.stringify({ ...s.metric, le: undefined }))).size
  // Buckets count all below their bound: sums first, then differences.
  const sums = columns(times, uppers.length)
  const start = times[0] ?? 0
  for (const s of series) {
    const row = uppers.indexOf(numeric(s.metric.le ?? ''))
    for (const [t, text] of s.values ?? []) {
      const column = sums[Math.round((t - start) / step)]
      const v = numeric(text)
      if (column && row >= 0 && Number.isFinite(v)) column[row] = (column[row] ?? 0) + v
    }
  }
  for (const column of sums)
    for (let r = uppers.length - 1; r > 0; r--) column[r] = Math.max(0, (column[r] ?? 0) - (column[r - 1] ?? 0))
  const lowest = uppers[0] ?? 0
  return { bounds: [lowest > 0 ? 0 : -Infinity, ...uppers], cells: sums, max: 0, kind: 'classic', summed: groups }
}
