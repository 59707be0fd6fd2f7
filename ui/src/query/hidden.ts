import { labelsText } from '../parts/Labels.tsx'
import type { LabelSet } from './results.ts'

interface Placed {
  metric: LabelSet
  index: number
}

/** The places of the lines that are of these series, written as PromQL. */
export function placesOf(lines: Placed[], series: ReadonlySet<string>): ReadonlySet<number> {
  if (series.size === 0) return new Set()
  return new Set(lines.filter((l) => series.has(labelsText(l.metric))).map((l) => l.index))
}

/** The series of the lines at these places, written as PromQL. */
export function seriesAt(lines: Placed[], places: ReadonlySet<number>): ReadonlySet<string> {
  return new Set(lines.filter((l) => places.has(l.index)).map((l) => labelsText(l.metric)))
}
