import type { QueryRow, QueryState } from '../api/queries.ts'
import { parseDuration } from '../format/times.ts'
import type { Sorting } from '../parts/DataTable.tsx'

/** What the page shows, as its address has it. */
export interface View {
  /** Words that the expression, the client, the id or the error must have, all of them. */
  text: string
  state: QueryState | ''
  /** As people write durations; '' is any. */
  slower: string
  /** Only queries that ran at some time in between, ms since the epoch; undefined is open. */
  from: number | undefined
  to: number | undefined
  /** Queries of the same expression, or of the same client, are one row. */
  group: 'expression' | 'client' | ''
  sort: Sorting
  /** The query that is looked at. */
  selected: string
  live: boolean
}

export const states: QueryState[] = ['active', 'finished', 'failed', 'canceled']
const newest: Sorting = { key: 'begun', down: true }

export function readView(q: URLSearchParams): View {
  const get = (name: string) => q.get(name) ?? ''
  const time = (name: string) => {
    const t = get(name) === '' ? NaN : Date.parse(get(name))
    return Number.isNaN(t) ? undefined : t
  }
  const [key, way] = get('sort').split('.')
  return {
    text: get('q'),
    state: states.find((s) => s === get('state')) ?? '',
    slower: get('slower'),
    from: time('from'),
    to: time('to'),
    group: get('group') === 'expression' || get('group') === 'client' ? (get('group') as View['group']) : '',
    sort: key ? { key, down: way !== 'up' } : newest,
    selected: get('id'),
    live: get('live') !== '0',
  }
}

/** The address of a view, without what is as it would be anyway. */
export function writeView(v: View): URLSearchParams {
  const q = new URLSearchParams()
  const put = (name: string, value: string) => value && q.set(name, value)
  put('q', v.text)
  put('state', v.state)
  put('slower', v.slower)
  if (v.from !== undefined) q.set('from', new Date(v.from).toISOString())
  if (v.to !== undefined) q.set('to', new Date(v.to).toISOString())
  put('group', v.group)
  if (v.sort.key !== newest.key || v.sort.down !== newest.down)
    q.set('sort', `${v.sort.key}.${v.sort.down ? 'down' : 'up'}`)
  put('id', v.selected)
  if (!v.live) q.set('live', '0')
  return q
}

/** When a query began and ended, or until when it has run, ms since the epoch. */
export function spanOf(q: QueryRow): { from: number; to: number } {
  const from = Date.parse(q.begun)
  return { from, to: from + q.duration * 1000 }
}

/** The rows that a view is about. A slower that is no duration yet filters nothing. */
export function filtered(rows: QueryRow[], v: View): QueryRow[] {
  const words = v.text.toLowerCase().split(/\s+/).filter(Boolean)
  const least = parseDuration(v.slower) ?? 0
  return rows.filter((q) => {
    if (v.state && q.state !== v.state) return false
    if (q.duration < least) return false
    const s = spanOf(q)
    if (v.from !== undefined && s.to < v.from) return false
    if (v.to !== undefined && s.from > v.to) return false
    if (words.length === 0) return true
    const text = `${q.query} ${q.client} ${q.id} ${q.kind} ${q.error ?? ''}`.toLowerCase()
    return words.every((w) => text.includes(w))
  })
}

/** The time around a moment: what is asked for by "what hurt us at 03:12?". */
export function around(moment: number, within: number): { from: number; to: number } {
  return { from: Math.round((moment - within) * 1000), to: Math.round((moment + within) * 1000) }
}

export interface Sums {
  queries: number
  active: number
  failed: number
  /** Queries from which a child was missing. */
  partial: number
  canceled: number
  seconds: number
  bytes: number
  slowest: QueryRow | undefined
}

export function sumsOf(rows: QueryRow[]): Sums {
  const s: Sums = {
    queries: rows.length,
    active: 0,
    failed: 0,
    partial: 0,
    canceled: 0,
    seconds: 0,
    bytes: 0,
    slowest: undefined,
  }
  for (const q of rows) {
    if (q.state === 'active') s.active++
    if (q.state === 'failed') s.failed++
    if (q.state === 'canceled') s.canceled++
    if (q.failed > 0) s.partial++
    s.seconds += q.duration
    s.bytes += q.bytes
    if (!s.slowest || q.duration > s.slowest.duration) s.slowest = q
  }
  return s
}

/** Queries of the same expression, or of the same client, together. */
export interface Group extends Sums {
  name: string
  /** How many different clients, or expressions, there are in it. */
  others: number
  series: number
  last: string
}

export function grouped(rows: QueryRow[], by: 'expression' | 'client'): Group[] {
  const groups = new Map<string, QueryRow[]>()
  for (const q of rows) {
    const name = by === 'client' ? q.client : q.query.trim().split(/\s+/).join(' ')
    const list = groups.get(name)
    if (list) list.push(q)
    else groups.set(name, [q])
  }
  return [...groups].map(([name, list]) => ({
    ...sumsOf(list),
    name,
    others: new Set(list.map((q) => (by === 'client' ? q.query : q.client))).size,
    series: list.reduce((n, q) => Math.max(n, q.series), 0),
    last: list.reduce((t, q) => (t === '' || Date.parse(q.begun) > Date.parse(t) ? q.begun : t), ''),
  }))
}
