import type { Metadata } from './completion.ts'

/** A metric's name with what is known of it. */
export interface MetricRow {
  name: string
  type: string
  unit: string
  help: string
}

/** The metric of which a series is a part, as the sum and the buckets are of a histogram; the name itself of others. */
export const familyOf = (name: string) => name.replace(/_(bucket|count|sum|total)$/, '')

/** A metric's metadata; that of its histogram or summary if it is one of its series. */
export function metadataOf(name: string, all: Record<string, Metadata[]>): Omit<MetricRow, 'name'> {
  const own = all[name]
  const base = own ?? all[familyOf(name)]
  const first = base?.[0]
  if (!first) return { type: '', unit: '', help: '' }
  const differs = base.some((m) => m.type !== first.type)
  // Members may tell differently, and what is counted has not the unit of what is observed.
  const agreed = base.every((m) => (m.unit ?? '') === (first.unit ?? ''))
  const counts = !own && /_(bucket|count)$/.test(name)
  const part = !own && (first.type === 'histogram' || first.type === 'summary') ? ` of a ${first.type}` : ''
  return {
    type: differs ? 'several' : part ? 'counter' : first.type,
    unit: agreed && !counts ? (first.unit ?? '') : '',
    help: first.help + (part && ` (part${part})`),
  }
}

/** The metrics that have all words of a search in their names or meanings; those whose name begins with it first. */
export function found(rows: MetricRow[], search: string): MetricRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return rows
  const first = words[0] ?? ''
  const rank = (r: MetricRow) =>
    r.name.toLowerCase().startsWith(first) ? 0 : r.name.toLowerCase().includes(first) ? 1 : 2
  return rows
    .filter((r) => {
      const text = (r.name + ' ' + r.help).toLowerCase()
      return words.every((w) => text.includes(w))
    })
    .map((r) => ({ r, rank: rank(r) }))
    .sort((a, b) => a.rank - b.rank)
    .map((x) => x.r)
}
