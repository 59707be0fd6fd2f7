import { none } from './numbers.ts'

export type Zone = 'local' | 'utc'

const two = (n: number) => String(n).padStart(2, '0')

function parts(t: Date, zone: Zone) {
  return zone === 'utc'
    ? {
        y: t.getUTCFullYear(),
        mo: t.getUTCMonth(),
        d: t.getUTCDate(),
        h: t.getUTCHours(),
        mi: t.getUTCMinutes(),
        s: t.getUTCSeconds(),
        ms: t.getUTCMilliseconds(),
      }
    : {
        y: t.getFullYear(),
        mo: t.getMonth(),
        d: t.getDate(),
        h: t.getHours(),
        mi: t.getMinutes(),
        s: t.getSeconds(),
        ms: t.getMilliseconds(),
      }
}

/** Times are given as dates, as milliseconds since the epoch, or as RFC3339. */
export type Time = Date | number | string

function date(t: Time | undefined): Date | undefined {
  if (t === undefined || t === '') return undefined
  const d = t instanceof Date ? t : new Date(t)
  return Number.isNaN(d.getTime()) ? undefined : d
}

/** 2026-11-22 16:05:09 on a 24-hour clock. */
export function dateTime(t: Time | undefined, zone: Zone): string {
  const d = date(t)
  if (!d) return none
  const p = parts(d, zone)
  return `${p.y}-${two(p.mo + 1)}-${two(p.d)} ${two(p.h)}:${two(p.mi)}:${two(p.s)}`
}

/** 16:05:09 on a 24-hour clock. */
export function clock(t: Time | undefined, zone: Zone): string {
  return date(t) ? dateTime(t, zone).slice(11) : none
}

/** Seconds from t until now, both on this machine's clock; undefined if t is. */
export function age(t: Time | undefined, now: number = Date.now()): number | undefined {
  const d = date(t)
  return d && (now - d.getTime()) / 1000
}

/** The name of the zone, and how far from UTC it is at t: UTC, or UTC+01:00. */
export function zoneName(zone: Zone, t: Date = new Date()): string {
  if (zone === 'utc') return 'UTC'
  const off = -t.getTimezoneOffset()
  if (off === 0) return 'UTC'
  return `UTC${off < 0 ? '-' : '+'}${two(Math.floor(Math.abs(off) / 60))}:${two(Math.abs(off) % 60)}`
}

const units: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 }

/** Reads a duration as Prometheus writes it, 1h30m or 90s; a bare number is seconds. Undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const s = text.trim()
  if (/^\d+(\.\d+)?$/.test(s)) return Number(s)
  if (!/^(\d+(ms|[smhdwy]))+$/.test(s)) return undefined
  let total = 0
  for (const m of s.matchAll(/(\d+)(ms|[smhdwy])/g)) total += Number(m[1]) * (units[m[2] ?? ''] ?? 0)
  return total
}

/** Writes a duration as Prometheus does, exact to the millisecond: 5400 is 1h30m. */
export function promDuration(seconds: number): string {
  let ms = Math.round(seconds * 1000)
  if (ms === 0) return '0s'
  let out = ''
  for (const [u, n] of [
    ['w', 604800000],
    ['d', 86400000],
    ['h', 3600000],
    ['m', 60000],
    ['s', 1000],
    ['ms', 1],
  ] as const) {
    // Weeks and days are used only where nothing is left, as Prometheus does.
    if ((u === 'w' || u === 'd') && ms % n !== 0) continue
    const k = Math.floor(ms / n)
    if (k > 0) out += k + u
    ms -= k * n
  }
  return out
}
