import { bytes, count, duration, percent } from '../format/numbers.ts'

/** What values of an expression are in: seconds, bytes, ratio, or any other word; '' is not known. */
export type Unit = string

const fractions: Record<string, number> = { milliseconds: 1e-3, microseconds: 1e-6, nanoseconds: 1e-9 }

/** Writes a value of a unit for axes and tooltips. */
export function withUnit(v: number, unit: Unit): string {
  if (unit === 'seconds') return duration(v)
  const fraction = fractions[unit]
  if (fraction !== undefined) return duration(v * fraction)
  if (unit === 'bytes') return bytes(v)
  if (unit === 'bytes/s') return bytes(v) + '/s'
  if (unit === 'ratio') return percent(v)
  if (unit === 'percent') return short(v) + '%'
  return unit === '' ? short(v) : `${short(v)}\u00a0${unit}`
}

function short(v: number): string {
  if (v === 0) return '0'
  const a = Math.abs(v)
  if (a >= 1000) return count(v)
  if (a < 1e-4) return v.toExponential(2)
  return String(Number(v.toPrecision(4)))
}
