import type { QueryStats } from '../api/stats.ts'

export type LabelSet = Record<string, string>

/** A bucket of a native histogram: which of its bounds belong to it (0 the right, 1 the left, 2 none, 3 both), the bounds, and the count. */
export type Bucket = [rule: number, left: string, right: string, count: string]

export interface Histogram {
  count: string
  sum: string
  buckets?: Bucket[]
}

export type Sample = [seconds: number, value: string]
export type HistogramSample = [seconds: number, histogram: Histogram]

export interface InstantSeries {
  metric: LabelSet
  value?: Sample
  histogram?: HistogramSample
}

export interface RangeSeries {
  metric: LabelSet
  values?: Sample[]
  histograms?: HistogramSample[]
}

/** The data of an answer to a query. */
export type Result = (
  | { resultType: 'vector'; result: InstantSeries[] }
  | { resultType: 'matrix'; result: RangeSeries[] }
  | { resultType: 'scalar' | 'string'; result: Sample }
) & { stats?: QueryStats }

/** How many series an answer has. */
export function seriesOf(r: Result): number {
  return r.resultType === 'vector' || r.resultType === 'matrix' ? r.result.length : 1
}

/** How many samples an answer has. */
export function samplesOf(r: Result): number {
  if (r.resultType !== 'matrix') return seriesOf(r)
  return r.result.reduce((n, s) => n + (s.values?.length ?? 0) + (s.histograms?.length ?? 0), 0)
}

/** A bucket's interval in the usual brackets. */
export function interval([rule, left, right]: Bucket): string {
  return `${rule === 1 || rule === 3 ? '[' : '('}${left}, ${right}${rule === 0 || rule === 3 ? ']' : ')'}`
}
