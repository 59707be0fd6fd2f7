import { readMoment } from '../format/moments.ts'
import { parseDuration, promDuration, type Zone } from '../format/times.ts'

/**
 * Reads since when points are to be made, as people write it: how long ago, or a point in time in the zone shown. Returns what
 * the API takes, undefined if it is neither. A number alone is refused: seconds ago and seconds since 1970 are far apart.
 */
export function readSince(text: string, zone: Zone, now: number): string | undefined {
  const s = text.trim()
  if (/^\d+(\.\d+)?$/.test(s)) return undefined
  const ago = parseDuration(s.replace(/^-/, ''))
  if (ago !== undefined) return promDuration(ago)
  const t = readMoment(s, zone, now)
  return t === undefined || t * 1000 > now ? undefined : new Date(t * 1000).toISOString()
}
