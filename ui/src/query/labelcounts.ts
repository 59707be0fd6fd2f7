import type { LabelSet } from './results.ts'

/** How many values a label has among series, and the most frequent ones with their numbers of series. */
export interface LabelCount {
  name: string
  values: number
  top: [value: string, series: number][]
}

const topValues = 10

/** The labels of series by how many values they have, most first; the metric name is left out. */
export function labelCounts(series: LabelSet[]): LabelCount[] {
  const by = new Map<string, Map<string, number>>()
  for (const s of series)
    for (const [k, v] of Object.entries(s)) {
      if (k === '__name__') continue
      let values = by.get(k)
      if (!values) by.set(k, (values = new Map()))
      values.set(v, (values.get(v) ?? 0) + 1)
    }
  return [...by]
    .map(([name, values]) => ({
      name,
      values: values.size,
      top: [...values].sort((a, b) => b[1] - a[1]).slice(0, topValues),
    }))
    .sort((a, b) => b.values - a.values || (a.name < b.name ? -1 : 1))
}
