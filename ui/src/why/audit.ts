import type { Params } from '../api/client.ts'
import { numeric } from '../format/numbers.ts'
import { labelsText } from '../parts/Labels.tsx'

/** How far two values may differ, relatively: sums of parts are rounded otherwise than sums of all. */
export const tolerance = 1e-9

/** How many seconds ago is asked about if no time is given, so that samples which arrive between the runs do not show. */
export const lag = 60

/** What a query is asked again without. */
export const runs: { name: string; params: Params }[] = [
  { name: 'without field hints', params: { hints: 'off' } },
  { name: 'without push-down', params: { pushdown: 'off' } },
  { name: 'without caches', params: { nocache: '1' } },
  { name: 'without rollups', params: { rollup: 'off' } },
  { name: 'without any of them', params: { hints: 'off', pushdown: 'off', nocache: '1', rollup: 'off' } },
]

type Metric = Record<string, string>
type Sample = [number, string]

interface Histogram {
  count: string
  sum: string
  buckets?: [number, string, string, string][]
}

/** A result as /api/v1/query and query_range tell it. */
export type Result =
  | { resultType: 'vector'; result: { metric: Metric; value?: Sample; histogram?: [number, Histogram] }[] }
  | { resultType: 'matrix'; result: { metric: Metric; values?: Sample[]; histograms?: [number, Histogram][] }[] }
  | { resultType: 'scalar' | 'string'; result: Sample }

interface Point {
  t: number
  v: number
  /** A histogram, or a string. */
  text: string
}

/** Where a series first differs between two runs. */
export interface Difference {
  series: string
  /** Seconds since the epoch. */
  t: number
  /** Undefined where the run has no value. */
  asked: string | undefined
  other: string | undefined
  /** How many of the series' points differ. */
  points: number
}

const nine = (s: string) => String(Number(numeric(s).toPrecision(9)))

function histogramText(h: Histogram): string {
  const buckets = (h.buckets ?? []).map(([, lo, hi, n]) => ` ${lo}..${hi}:${nine(n)}`)
  return `{count:${nine(h.count)} sum:${nine(h.sum)}${buckets.join('')}}`
}

function pointsOf(r: Result): Map<string, Point[]> {
  const out = new Map<string, Point[]>()
  const plain = ([t, v]: Sample): Point => ({ t, v: numeric(v), text: '' })
  const rich = ([t, h]: [number, Histogram]): Point => ({ t, v: 0, text: histogramText(h) })
  switch (r.resultType) {
    case 'vector':
      for (const s of r.result) {
        const p = s.histogram ? rich(s.histogram) : s.value && plain(s.value)
        if (p) out.set(key(s.metric), [...(out.get(key(s.metric)) ?? []), p])
      }
      break
    case 'matrix':
      for (const s of r.result) {
        const ps = [...(s.values ?? []).map(plain), ...(s.histograms ?? []).map(rich)]
        out.set(
          key(s.metric),
          ps.sort((a, b) => a.t - b.t),
        )
      }
      break
    case 'scalar':
      out.set('the scalar', [plain(r.result)])
      break
    case 'string':
      out.set('the string', [{ t: r.result[0], v: 0, text: r.result[1] }])
  }
  return out
}

// Labels come in no order that is promised.
function key(m: Metric): string {
  return labelsText(Object.fromEntries(Object.entries(m).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))))
}

function same(a: Point | undefined, b: Point | undefined): boolean {
  if (!a || !b || a.text !== b.text) return false
  if (a.v === b.v || (Number.isNaN(a.v) && Number.isNaN(b.v))) return true
  // Nothing is near infinity, however it is scaled.
  if (!Number.isFinite(a.v) || !Number.isFinite(b.v)) return false
  return Math.abs(a.v - b.v) <= tolerance * Math.max(Math.abs(a.v), Math.abs(b.v))
}

const shown = (p: Point | undefined) =>
  p && (p.text || (Number.isFinite(p.v) || Number.isNaN(p.v) ? String(p.v) : p.v > 0 ? '+Inf' : '-Inf'))

/** All series that differ between two results, by name. */
export function compare(a: Result, b: Result): Difference[] {
  if (a.resultType !== b.resultType) {
    return [{ series: 'the type', t: 0, asked: a.resultType, other: b.resultType, points: 1 }]
  }
  const left = pointsOf(a)
  const right = pointsOf(b)
  const out: Difference[] = []
  for (const series of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const d = differ(series, left.get(series) ?? [], right.get(series) ?? [])
    if (d) out.push(d)
  }
  return out
}

function differ(series: string, a: Point[], b: Point[]): Difference | undefined {
  let first: Difference | undefined
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    const p = a[i]
    const q = b[j]
    const left = p !== undefined && (q === undefined || p.t <= q.t) ? p : undefined
    const right = q !== undefined && (p === undefined || q.t <= p.t) ? q : undefined
    if (!same(left, right)) {
      first ??= { series, t: (left ?? right)?.t ?? 0, asked: shown(left), other: shown(right), points: 0 }
      first.points++
    }
    if (left) i++
    if (right) j++
  }
  return first
}

/** Counts a result: series and samples. */
export function size(r: Result): { series: number; samples: number } {
  if (r.resultType !== 'vector' && r.resultType !== 'matrix') return { series: 1, samples: 1 }
  let samples = r.result.length
  if (r.resultType === 'matrix')
    samples = r.result.reduce((n, s) => n + (s.values?.length ?? 0) + (s.histograms?.length ?? 0), 0)
  return { series: r.result.length, samples }
}

/** One asking of the query. Times are seconds. */
export interface Run {
  name: string
  took?: number
  bytes?: number
  series?: number
  samples?: number
  /** Children that are missing from the answer. */
  missing: string[]
  error?: string
  /** From the first run; absent of the first. */
  differences?: Difference[]
}

/** Whether a difference between two runs says anything: where a child is missing from either, it does not. */
export function comparable(a: Run | undefined, b: Run): boolean {
  return !a?.missing.length && !b.missing.length
}

/** What an audit comes to, in a sentence. */
export function outcome(all: Run[]): { level: 'good' | 'warn' | 'bad'; text: string } {
  const [base, ...others] = all
  const names = (list: Run[]) => list.map((r) => r.name).join(', ')
  const failed = others.filter((r) => r.error)
  const wrong = others.filter((r) => r.differences?.length && comparable(base, r))
  const bad = [
    ...(wrong.length ? [`not the same answer: ${names(wrong)}`] : []),
    ...(failed.length ? [`no answer: ${names(failed)}`] : []),
  ]
  if (bad.length) return { level: 'bad', text: bad.join('; ') }
  const missing = [...new Set(all.flatMap((r) => r.missing))].join(', ')
  if (others.some((r) => r.differences?.length))
    return { level: 'warn', text: `Undecided: ${missing} did not answer every time. Audit again when all do.` }
  if (missing) return { level: 'warn', text: `All answers are the same, but not whole: ${missing} did not answer.` }
  return { level: 'good', text: 'All answers are the same.' }
}
