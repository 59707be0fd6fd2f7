import { dateTime, parseDuration, type Zone } from './times.ts'

/**
 * Reads a point in time as people type it and as addresses carry it: seconds since the epoch, RFC3339, 2026-11-22 03:12[:09] or 03:12[:09]
 * in the zone shown, "now", or -1h for an hour ago. A time of day is the latest one that is not in the future. Returns seconds since the
 * epoch, undefined for anything else; now is in milliseconds.
 */
export function readMoment(text: string, zone: Zone, now: number): number | undefined {
  const s = text.trim()
  if (s === 'now') return now / 1000
  if (/^\d+(\.\d+)?$/.test(s)) return Number(s)
  if (s.startsWith('-')) {
    const ago = parseDuration(s.slice(1))
    return ago === undefined ? undefined : now / 1000 - ago
  }
  const day = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?$/.exec(s)
  if (day) return at(day[1] as string, day[2] ?? '00:00', zone)
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(s)
  if (clock) return latest(s.padStart(s.length + (clock[1]?.length === 1 ? 1 : 0), '0'), zone, now)
  if (!/^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:\d{2})$/.test(s)) return undefined
  const t = Date.parse(s)
  return Number.isNaN(t) ? undefined : t / 1000
}

function at(day: string, clock: string, zone: Zone): number | undefined {
  const t = Date.parse(`${day}T${clock.length === 5 ? clock + ':00' : clock}${zone === 'utc' ? 'Z' : ''}`)
  return Number.isNaN(t) ? undefined : t / 1000
}

function latest(clock: string, zone: Zone, now: number): number | undefined {
  const today = at(dateTime(now, zone).slice(0, 10), clock, zone)
  if (today === undefined || today * 1000 <= now) return today
  return at(dayBefore(dateTime(now, zone).slice(0, 10)), clock, zone)
}

// By the calendar: where clocks change, 24 hours ago may be today still.
function dayBefore(day: string): string {
  return new Date(Date.parse(day) - 86400e3).toISOString().slice(0, 10)
}
