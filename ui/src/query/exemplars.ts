import { numeric } from '../format/numbers.ts'
import type { LabelSet } from './results.ts'

/** What /api/v1/query_exemplars answers. */
export type ExemplarAnswer =
  { seriesLabels: LabelSet; exemplars: { labels: LabelSet; value: string; timestamp: number }[] }[] | null

/** An exemplar with the series that it belongs to; its time is seconds. */
export interface Exemplar {
  labels: LabelSet
  series: LabelSet
  value: number
  time: number
}

/** More than this are not drawn. */
export const maxExemplars = 2000

/** All exemplars that can be drawn, oldest first; too many are thinned out evenly. left is how many are not drawn. */
export function exemplarsOf(answer: ExemplarAnswer): { drawn: Exemplar[]; left: number } {
  const all: Exemplar[] = []
  for (const s of answer ?? [])
    for (const e of s.exemplars) {
      const value = numeric(e.value)
      if (Number.isFinite(value)) all.push({ labels: e.labels, series: s.seriesLabels, value, time: e.timestamp })
    }
  all.sort((a, b) => a.time - b.time)
  if (all.length <= maxExemplars) return { drawn: all, left: 0 }
  const every = all.length / maxExemplars
  const drawn = Array.from({ length: maxExemplars }, (_, i) => all[Math.floor(i * every)]).filter(
    (e) => e !== undefined,
  )
  return { drawn, left: all.length - drawn.length }
}

/** The exemplar before or after one, by time; from none the newest or the oldest. It ends at either end. */
export function neighbour(all: Exemplar[], of: Exemplar | undefined, way: 1 | -1): Exemplar | undefined {
  if (all.length === 0) return undefined
  const at = of ? all.indexOf(of) : -1
  if (at < 0) return way > 0 ? all[0] : all.at(-1)
  return all[Math.min(Math.max(at + way, 0), all.length - 1)]
}
