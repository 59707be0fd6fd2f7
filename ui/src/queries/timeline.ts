import type { QueryRow } from '../api/queries.ts'
import { clock, dateTime, type Zone } from '../format/times.ts'
import { spanOf } from './filter.ts'

/** A query on the time line, in pixels. */
export interface Dot {
  row: QueryRow
  x: number
  y: number
  r: number
}

export interface Tick {
  at: number
  label: string
}

export interface Layout {
  /** The time that is drawn, ms since the epoch. */
  from: number
  to: number
  dots: Dot[]
  times: Tick[]
  durations: Tick[]
}

export interface Box {
  width: number
  height: number
  left: number
  right: number
  top: number
  bottom: number
}

const smallest = 3
const largest = 13

/** How durations (s) are put on a height: each ten times is as high as the next. */
export function heightOf(seconds: number, lo: number, hi: number, box: Box): number {
  const share = (Math.log10(Math.max(seconds, lo)) - Math.log10(lo)) / (Math.log10(hi) - Math.log10(lo))
  return box.height - box.bottom - share * (box.height - box.top - box.bottom)
}

/**
 * Lays queries out: by when they began, how long they took, and how many bytes they moved, in the area of the dot. Larger ones come first, so that
 * smaller ones are drawn over them.
 */
export function layout(
  rows: QueryRow[],
  box: Box,
  from: number | undefined,
  to: number | undefined,
  now: number,
  zone: Zone,
): Layout {
  const spans = rows.map(spanOf)
  const first = Math.min(now - 60_000, ...spans.map((s) => s.from))
  const end = Math.max((from ?? first) + 1000, to ?? now)
  // The first one does not stand on the axis.
  const begin = from ?? first - (end - first) * 0.02
  const least = rows.reduce((n, q) => Math.min(n, q.duration), Infinity)
  const most = rows.reduce((n, q) => Math.max(n, q.duration), 0)
  const lo = 10 ** Math.floor(Math.log10(Math.min(0.1, Math.max(least, 1e-4))))
  const hi = 10 ** Math.ceil(Math.log10(Math.max(1, most)))
  const bytes = Math.max(1, ...rows.map((q) => q.bytes))
  const inner = box.width - box.left - box.right
  const x = (t: number) => box.left + (Math.min(Math.max(t, begin), end) - begin) * (inner / (end - begin))
  const dots = rows.map((row) => ({
    row,
    x: x(Date.parse(row.begun)),
    y: heightOf(row.duration, lo, hi, box),
    r: smallest + (largest - smallest) * Math.sqrt(row.bytes / bytes),
  }))
  dots.sort((a, b) => b.r - a.r)
  const durations: Tick[] = []
  const tens = Math.round(Math.log10(hi / lo))
  for (let i = 0; i <= tens; i += Math.max(1, Math.ceil(tens / 4))) {
    durations.push({ at: heightOf(lo * 10 ** i, lo, hi, box), label: short(lo * 10 ** i) })
  }
  return {
    from: begin,
    to: end,
    dots,
    times: times(begin, end, Math.max(2, Math.floor(inner / 110)), x, zone),
    durations,
  }
}

function short(seconds: number): string {
  const round = (n: number) => String(Math.round(n))
  if (seconds < 0.9e-3) return round(seconds * 1e6) + ' µs'
  return seconds < 0.9 ? round(seconds * 1000) + ' ms' : round(seconds) + ' s'
}

const steps = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800,
]

function times(from: number, to: number, most: number, x: (t: number) => number, zone: Zone): Tick[] {
  const step = (steps.find((s) => (to - from) / (s * 1000) <= most) ?? 2_592_000) * 1000
  // Whole hours are whole in the zone shown, which may be off by half an hour.
  const off = zone === 'utc' ? 0 : -new Date(from).getTimezoneOffset() * 60_000
  const out: Tick[] = []
  for (let t = Math.ceil((from + off) / step) * step - off; t <= to; t += step) {
    const label =
      step >= 86_400_000 ? dateTime(t, zone).slice(5, 10) : step >= 60_000 ? clock(t, zone).slice(0, 5) : clock(t, zone)
    out.push({ at: x(t), label })
  }
  return out
}

/** The time at a place of the drawing. */
export function timeAt(px: number, l: Layout, box: Box): number {
  const inner = box.width - box.left - box.right
  const share = Math.min(1, Math.max(0, (px - box.left) / inner))
  return l.from + share * (l.to - l.from)
}

/** The dot at or next to a place, no further than so many pixels. */
export function dotAt(px: number, py: number, dots: Dot[], reach: number): Dot | undefined {
  let best: Dot | undefined
  let least = Infinity
  for (const d of dots) {
    const away = Math.hypot(d.x - px, d.y - py) - d.r
    if (away <= reach && away < least) {
      best = d
      least = away
    }
  }
  return best
}

// RFC3339 leaves zeros at the end out, so that its letters are in another order than its times.
function byBegun(a: QueryRow, b: QueryRow): number {
  return Date.parse(a.begun) - Date.parse(b.begun) || (a.id < b.id ? -1 : 1)
}

/** The query that began next after another, or before it; without one the last of all. */
export function neighbour(dots: Dot[], selected: string, by: 1 | -1): QueryRow | undefined {
  const order = dots.map((d) => d.row).sort(byBegun)
  const i = order.findIndex((q) => q.id === selected)
  return i < 0 ? order.at(-1) : order[Math.min(order.length - 1, Math.max(0, i + by))]
}
