import type { Params } from '../api/client.ts'
import { readMoment } from '../format/moments.ts'
import { promDuration, type Zone } from '../format/times.ts'

/** What times a question of holders is about, in seconds since the epoch: a moment, or from start to end. */
export interface Times {
  start?: number
  end: number
}

export type ReadTimes = { ok: true; times: Times } | { ok: false; field: 'start' | 'end'; error: string }

const forms = 'write -1h, 03:12, 2026-11-22 03:12, or seconds since 1970'

/** Reads times as people write them; without a start they are a moment, without an end they go up to now (milliseconds). */
export function readTimes(start: string, end: string, zone: Zone, now: number): ReadTimes {
  const to = readMoment(end || 'now', zone, now)
  if (to === undefined) return { ok: false, field: 'end', error: forms }
  if (start === '') return { ok: true, times: { end: to } }
  const from = readMoment(start, zone, now)
  if (from === undefined) return { ok: false, field: 'start', error: forms }
  if (from > to) return { ok: false, field: 'end', error: 'before the start' }
  // No time at all is a moment, which no range of steps can be.
  return { ok: true, times: from === to ? { end: to } : { start: from, end: to } }
}

// As many steps as `pando who-has` takes: which leaves are asked does not depend on them.
const steps = 60

/** The times as parameters of a query of either kind. */
export function timeParams({ start, end }: Times): Params {
  if (start === undefined) return { time: end }
  return { start, end, step: Math.max(1, Math.floor((end - start) / steps)) }
}

// An instant selector looks this far back, unless a tier was told otherwise; seconds.
const lookback = 300

/** What selects at the end all series that had samples in the times. */
export function selecting(selector: string, { start, end }: Times): string {
  return start === undefined ? selector : `last_over_time(${selector}[${promDuration(end - start + lookback)}])`
}
