import type { Edge, Explanation, Fragment } from '../api/explain.ts'
import type { ChildRow } from '../api/stats.ts'

/** What of an explanation tells who was asked. */
export type PlanTier = Pick<Explanation, 'name' | 'tier' | 'truncated'> & { fragments?: PlanFragment[] }

export type PlanFragment = Pick<Fragment, 'note' | 'pruned'> & { children: PlanEdge[] | null }

// A verdict that is not known yet is no reason not to draw.
export type PlanEdge = Omit<Edge, 'below' | 'verdict'> & { verdict: string; below?: PlanTier }

/** What of a query's completeness tells it, where there is no explanation. */
export type PlanRow = Omit<ChildRow, 'tier' | 'requests' | 'verdict'> & { verdict: string }

/** What became of one member in a query. */
export interface Fan {
  verdict: string
  evidence: string
  /** Why its part is missing or not whole. */
  failed: string
  late: boolean
  cached: boolean
  hedged: boolean
  /** Whether it was asked in vain; undefined if that is not known. */
  empty: boolean | undefined
  bytes: number
  series: number
  samples: number
  /** Seconds, of its slowest request. */
  time: number
  /** The tier above that was itself not asked, or failed, so that this one was not reached. */
  above: string
}

/** A query's way through the tree. */
export interface FanOut {
  /** What became of the member of that id; undefined if that was not told. */
  of: (id: string) => Fan | undefined
  /** Whether it was evaluated, so that there are sizes and failures. */
  evaluated: boolean
  /** What was left out of the explanation. */
  notes: string[]
}

const none: Fan = {
  verdict: '',
  evidence: '',
  failed: '',
  late: false,
  cached: false,
  hedged: false,
  empty: undefined,
  bytes: 0,
  series: 0,
  samples: 0,
  time: 0,
  above: '',
}

/** Reads an explanation; evaluated says that it is that of an analysis. */
export function fanOutOf(plan: PlanTier, evaluated: boolean): FanOut {
  const fans = new Map<string, Fan>()
  const notes: string[] = []
  read(plan, '', fans, notes, evaluated)
  return { of: (id) => lookUp(fans, id), evaluated, notes: [...new Set(notes)] }
}

function read(t: PlanTier, at: string, fans: Map<string, Fan>, notes: string[], evaluated: boolean): void {
  if (t.truncated) notes.push(`${t.tier} ${t.name}: ${t.truncated}`)
  for (const f of t.fragments ?? []) {
    if (f.note) notes.push(`${t.tier} ${t.name}: ${f.note}`)
    for (const e of f.children ?? []) {
      const id = at ? at + ' > ' + e.child : e.child
      fans.set(id, merged(fans.get(id), e, evaluated))
      if (e.below) read(e.below, id, fans, notes, evaluated)
    }
  }
}

// Of several fragments, one that was asked counts for more than one that was pruned, and a failure for more than an answer.
function merged(old: Fan | undefined, e: PlanEdge, evaluated: boolean): Fan {
  const asked = e.verdict === 'asked'
  const vain = asked && evaluated && !e.failed ? e.empty !== undefined || (e.series ?? 0) === 0 : undefined
  const now: Fan = {
    ...none,
    verdict: e.verdict,
    evidence: e.evidence ?? '',
    failed: e.failed ?? '',
    late: e.late ?? false,
    cached: e.cached ?? false,
    hedged: e.hedged ?? false,
    empty: vain,
    bytes: e.bytes ?? 0,
    series: e.series ?? 0,
    samples: e.samples ?? 0,
    time: (e.timeNs ?? 0) / 1e9,
  }
  if (!old) return now
  const first = old.verdict === 'asked' || !asked ? old : now
  return {
    ...first,
    failed: old.failed || now.failed,
    late: old.late || now.late,
    cached: old.cached || now.cached,
    hedged: old.hedged || now.hedged,
    empty: old.empty === undefined ? now.empty : now.empty === undefined ? old.empty : old.empty && now.empty,
    bytes: old.bytes + now.bytes,
    series: old.series + now.series,
    samples: old.samples + now.samples,
    time: Math.max(old.time, now.time),
  }
}

// A member that has no row was not reached: because a tier above was not asked, or failed. Else nothing is known.
function lookUp(fans: Map<string, Fan>, id: string): Fan | undefined {
  const own = fans.get(id)
  if (own) return own
  for (let at = id.lastIndexOf(' > '); at > 0; at = id.lastIndexOf(' > ', at - 1)) {
    const above = id.slice(0, at)
    const fan = fans.get(above)
    if (fan)
      return fan.verdict !== 'asked' || fan.failed
        ? { ...fan, bytes: 0, series: 0, samples: 0, time: 0, above }
        : undefined
  }
  return undefined
}

/** Reads the rows of a query's completeness, which have members' names alone. */
export function fanOutOfRows(rows: PlanRow[], note: string): FanOut {
  const fans = new Map<string, Fan>()
  for (const r of rows)
    fans.set(r.name, {
      ...none,
      ...r,
      evidence: r.evidence ?? '',
      failed: r.failed ?? '',
      late: r.late ?? false,
      cached: r.cached ?? false,
      hedged: r.hedged ?? false,
      bytes: r.bytes ?? 0,
      time: r.time ?? 0,
      empty: r.verdict === 'asked' && !r.failed ? r.series === 0 : undefined,
      above: '',
    })
  const of = (id: string): Fan | undefined => {
    const names = id.split(' > ')
    const own = fans.get(names.at(-1) ?? '')
    if (own) return own
    for (const above of names.slice(0, -1).reverse()) {
      const fan = fans.get(above)
      if (fan && (fan.verdict !== 'asked' || fan.failed))
        return { ...fan, bytes: 0, series: 0, samples: 0, time: 0, above }
    }
    return undefined
  }
  return { of, evaluated: true, notes: note ? [note] : [] }
}
