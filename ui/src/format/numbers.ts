/** What is shown for a number that is not known. */
export const none = '–'

const decimal = ['', 'k', 'M', 'G', 'T', 'P']
const binary = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

function scaled(n: number, base: number, units: string[], gap: string): string {
  let i = 0
  let v = Math.abs(n)
  while (v >= base && i < units.length - 1) {
    v /= base
    i++
  }
  // 999.95 must not become 1000.0 of the smaller unit.
  if (i > 0 && i < units.length - 1 && Number(v.toPrecision(3)) >= base) {
    v /= base
    i++
  }
  const digits = i === 0 ? (Number.isInteger(v) ? 0 : v < 10 ? 2 : 1) : v >= 99.95 ? 0 : 1
  return (n < 0 ? '-' : '') + v.toFixed(digits) + (units[i] ? gap + units[i] : '')
}

/** A count with a decimal suffix: 1234567 is 1.2M. */
export function count(n: number | undefined): string {
  return n === undefined || !Number.isFinite(n) ? none : scaled(n, 1000, decimal, '')
}

/** A count in full, its thousands apart: 1 234 567. */
export function whole(n: number | undefined): string {
  return n === undefined || !Number.isFinite(n) ? none : String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, '\u202f')
}

/** A number of bytes: 1536 is 1.5 KiB. */
export function bytes(n: number | undefined): string {
  return n === undefined || !Number.isFinite(n) ? none : scaled(n, 1024, binary, '\u00a0')
}

/** A share: 0.1234 is 12.3%. */
export function percent(share: number | undefined): string {
  if (share === undefined || !Number.isFinite(share)) return none
  const p = share * 100
  if (p === 0) return '0%'
  if (p > 0 && p < 0.01) return '<0.01%'
  if (p < 1) return p.toFixed(2) + '%'
  if (p > 99.9 && p < 100) return '>99.9%'
  return (Number.isInteger(p) ? p.toFixed(0) : p.toFixed(1)) + '%'
}

/** A duration in seconds, in its two largest units: 3725 is 1h 2m. Below a minute with three digits. */
export function duration(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds)) return none
  const s = Math.abs(seconds)
  const sign = seconds < 0 ? '-' : ''
  if (s === 0) return '0s'
  if (s < 0.9995e-3) return sign + digits3(s * 1e6) + '\u00a0µs'
  if (s < 0.9995) return sign + digits3(s * 1e3) + '\u00a0ms'
  if (s < 59.95) return sign + digits3(s) + '\u00a0s'
  const t = Math.round(s)
  const two = (a: number, x: string, b: number, y: string) => sign + a + x + (b ? ' ' + b + y : '')
  if (t < 3600) return two(Math.floor(t / 60), 'm', t % 60, 's')
  if (t < 86400) return two(Math.floor(t / 3600), 'h', Math.floor((t % 3600) / 60), 'm')
  return two(Math.floor(t / 86400), 'd', Math.floor((t % 86400) / 3600), 'h')
}

function digits3(v: number): string {
  const d = v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2
  return v.toFixed(d)
}

/** Reads a number as Prometheus writes it, NaN and the infinities among them; NaN if it is none. */
export function numeric(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Infinity
  if (text === '-Inf') return -Infinity
  return text === '' ? NaN : Number(text)
}

/** A sample value as Prometheus writes it, shortened only where digits say nothing. */
export function value(v: number): string {
  if (Number.isNaN(v)) return 'NaN'
  if (!Number.isFinite(v)) return v > 0 ? '+Inf' : '-Inf'
  return String(v)
}
