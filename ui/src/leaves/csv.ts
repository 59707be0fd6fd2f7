import type { Row } from './rows.ts'

/** Writes a table as CSV (RFC 4180). Cells that a spreadsheet would take for formulas are made texts. */
export function csv(head: string[], rows: (string | number | undefined)[][]): string {
  return [head, ...rows].map((r) => r.map(cell).join(',')).join('\r\n') + '\r\n'
}

function cell(v: string | number | undefined): string {
  if (v === undefined) return ''
  if (typeof v === 'number') return String(v)
  const safe = /^[=+\-@\t\r]/.test(v) ? "'" + v : v
  return /[",\r\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe
}

/** The leaves as CSV: a column per label, numbers in seconds, bytes and counts. */
export function leavesCsv(rows: Row[]): string {
  const names = [...new Set(rows.flatMap((r) => Object.keys(r.node.labels ?? {})))].sort()
  const head = [
    'name',
    'tier',
    'path',
    ...names,
    'shard',
    'replica',
    'state',
    'since',
    'error',
    'health',
    'problems',
    'series',
    'samples_per_second',
  ]
  head.push('newest_sample', 'lag_seconds', 'gap_seconds', 'round_trip_seconds', 'version', 'revision')
  head.push('hint', 'hint_bytes', 'hint_age_seconds')
  return csv(
    head,
    rows.map(({ node: n, path, standing, problems, lag, gaps, hint }) => [
      n.name,
      n.tier,
      path.join(' > '),
      ...names.map((l) => n.labels?.[l]),
      n.shard,
      n.replica,
      n.state,
      n.since,
      n.error,
      standing,
      problems.join(' '),
      n.series,
      n.sampleRate,
      n.maxt,
      lag,
      gaps,
      n.rtt,
      n.version,
      n.revision,
      hint,
      n.hint?.bytes,
      n.hint?.age,
    ]),
  )
}

/** Has the browser save a text as a file. */
export function download(name: string, text: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }))
  const a = document.createElement('a')
  a.href = url
  a.download = name
  a.click()
  URL.revokeObjectURL(url)
}
