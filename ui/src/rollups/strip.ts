import type { Hole, Rollup } from '../api/rollups.ts'

/** A part of a coverage strip: from and to are shares of its width. */
export interface Part {
  from: number
  to: number
  state: Hole['state'] | 'whole' | 'none' | 'untold' | 'due'
  /** In Unix seconds, what the part covers. */
  start: number
  end: number
  missing: string[]
}

/**
 * What a strip of time shows of a rule's points, from left to right: nothing before they are owed, then whole but for holes, and what is
 * not due yet after. Of many holes the tier tells the oldest: what is after these is not known point by point.
 */
export function strip(r: Rollup, start: number, end: number): Part[] {
  const parts: Part[] = []
  const width = end - start
  const add = (from: number, to: number, state: Part['state'], missing: string[] = []) => {
    const a = Math.max(from, start)
    const b = Math.min(to, end)
    if (b > a) parts.push({ from: (a - start) / width, to: (b - start) / width, state, start: a, end: b, missing })
  }
  if (!r.since) {
    add(start, end, 'none')
    return parts
  }
  add(start, r.since - r.every, 'none')
  // A point stands for the time since the one before it.
  let at = r.since - r.every
  const holes = (r.holes ?? []).toSorted((a, b) => a.from - b.from)
  // Until is no bound: it ends before the first point that is absent, however many newer ones are there.
  const due = Math.max(r.due ?? r.until, ...holes.map((h) => h.to), at)
  for (const h of holes) {
    const from = h.from - r.every
    if (from > at) add(at, from, 'whole')
    add(Math.max(from, at), h.to, h.state, h.missing)
    at = Math.max(at, h.to)
  }
  if (due > at) add(at, due, r.holesLeftOut ? 'untold' : 'whole')
  add(Math.max(due, at), end, 'due')
  return parts
}

/** The share of points that are whole of those owed; undefined if none is. */
export function wholeShare(r: Rollup): number | undefined {
  const owed = r.whole + r.partial + r.unfit + r.absent
  return owed === 0 ? undefined : r.whole / owed
}
