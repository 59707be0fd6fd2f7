import { labelsText } from '../parts/Labels.tsx'
import { numeric } from '../format/numbers.ts'
import type { InstantSeries, RangeSeries } from './results.ts'

export interface Order {
  key: 'series' | 'value'
  down: boolean
}

/** More rows than this are not drawn. */
export const maxRows = 10_000

type Series = InstantSeries & RangeSeries

/** What a series is ordered by: its value, the count of its histogram, the latest of its samples. */
export function orderValue(s: Series): number {
  if (s.value) return numeric(s.value[1])
  if (s.histogram) return numeric(s.histogram[1].count)
  const last = s.values?.at(-1)
  return last ? numeric(last[1]) : numeric(s.histograms?.at(-1)?.[1].count ?? 'NaN')
}

/** The series whose labels have all words of a filter, in an order; as they came without one. NaN comes last either way. */
export function arranged(series: Series[], order: Order | undefined, filter: string): Series[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  let rows = series
  if (words.length > 0)
    rows = rows.filter((s) => {
      const text = labelsText(s.metric).toLowerCase()
      return words.every((w) => text.includes(w))
    })
  if (!order) return rows
  const sign = order.down ? -1 : 1
  if (order.key === 'series') {
    const collator = new Intl.Collator('en', { numeric: true })
    const keyed = rows.map((s) => ({ s, key: labelsText(s.metric) }))
    return keyed.sort((a, b) => sign * collator.compare(a.key, b.key)).map((k) => k.s)
  }
  const keyed = rows.map((s) => ({ s, key: orderValue(s) }))
  keyed.sort((a, b) => {
    if (Number.isNaN(a.key) || Number.isNaN(b.key)) return Number(Number.isNaN(a.key)) - Number(Number.isNaN(b.key))
    return a.key === b.key ? 0 : sign * (a.key < b.key ? -1 : 1)
  })
  return keyed.map((k) => k.s)
}
