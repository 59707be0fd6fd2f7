import type { TreeNode } from '../api/tree.ts'
import { parseDuration } from '../format/times.ts'
import { gapTime, hintWord, lagOf, standing } from './standing.ts'

/** What a search asks of a node. */
export type Match = (n: TreeNode, path: string[]) => boolean

/** A search as it was read; error says what of it cannot be. */
export interface Search {
  match: Match
  error?: string
}

const everything: Match = () => true

/** How searches are written, for people. */
export const searchHelp =
  'Words are looked for in name, labels, shard, replica, version and revision. zone=eu, cluster!=eu-1, cluster=~eu-.* and version=… compare a label or a property; lag>30s, series>1M, rate<10, rtt>100ms compare numbers. All terms must hold.'

/** Reads a search over a tree as of at: terms apart by spaces, all of which must hold; what is in double quotes may have spaces. */
export function parseSearch(text: string, at: string = new Date().toISOString()): Search {
  const terms = text.match(/(?:[^\s"]|"[^"]*")+/g) ?? []
  const matches: Match[] = []
  for (const t of terms) {
    const m = term(t, at)
    if (typeof m === 'string') return { match: everything, error: m }
    matches.push(m)
  }
  if (matches.length === 0) return { match: everything }
  return { match: (n, path) => matches.every((m) => m(n, path)) }
}

function term(t: string, at: string): Match | string {
  const m = /^([A-Za-z_][\w.]*)(=~|!~|!=|>=|<=|=|>|<)(.*)$/.exec(t)
  if (!m) {
    const word = t.replaceAll('"', '').toLowerCase()
    return (n, path) => haystack(n, path).includes(word)
  }
  const [, name = '', op = '', raw = ''] = m
  const value = raw.replaceAll('"', '')
  if (op === '>' || op === '<' || op === '>=' || op === '<=') return compared(name, op, value, at)
  if (op === '=' || op === '!=') {
    const want = op === '='
    return (n) => (property(n, name, at) === value) === want
  }
  let re: RegExp
  try {
    re = new RegExp(`^(?:${value})$`)
  } catch {
    return `${value} is no regular expression`
  }
  const want = op === '=~'
  return (n) => re.test(property(n, name, at)) === want
}

const sizes: Record<string, number> = { '': 1, k: 1e3, m: 1e6, g: 1e9 }

function compared(name: string, op: string, value: string, at: string): Match | string {
  const number = numbers[name]
  if (!number) return `${name} is no number; these are: ${Object.keys(numbers).join(', ')}`
  const m = /^(\d+(?:\.\d+)?)([kKmMgG]?)$/.exec(value)
  // 30m is half an hour of what is a time, and thirty million of what is a count.
  const timed = timeNames.has(name) ? parseDuration(value) : undefined
  const bound = timed ?? (m ? Number(m[1]) * (sizes[(m[2] ?? '').toLowerCase()] ?? 1) : undefined)
  if (bound === undefined) return `${value} is no number or duration`
  return (n) => {
    const v = number(n, at)
    if (v === undefined) return false
    return op === '>' ? v > bound : op === '<' ? v < bound : op === '>=' ? v >= bound : v <= bound
  }
}

const timeNames = new Set(['lag', 'rtt', 'gaps', 'hint_age'])

const numbers: Record<string, (n: TreeNode, at: string) => number | undefined> = {
  series: (n) => n.series,
  samples: (n) => n.samples,
  rate: (n) => n.sampleRate,
  rtt: (n) => n.rtt,
  lag: (n, at) => lagOf(n, at),
  gaps: (n, at) => gapTime(n, at),
  hint_bytes: (n) => n.hint?.bytes,
  hint_age: (n) => n.hint?.age,
  leaves: (n) => n.leaves,
}

function property(n: TreeNode, name: string, at: string): string {
  const label = n.labels?.[name]
  if (label !== undefined) return label
  switch (name) {
    case 'name':
      return n.name
    case 'tier':
      return n.tier
    case 'state':
      return n.state
    case 'health':
      return standing(n, at)
    case 'shard':
      return n.shard ?? ''
    case 'replica':
      return n.replica ?? ''
    case 'version':
      return n.version ?? ''
    case 'revision':
      return n.revision ?? ''
    case 'hint':
      return hintWord(n)
    case 'error':
      return n.error ?? ''
    default:
      return ''
  }
}

function haystack(n: TreeNode, path: string[]): string {
  const labels = n.labels ? Object.entries(n.labels).map(([k, v]) => `${k}=${v}`) : []
  return [n.name, ...path, ...labels, n.shard, n.replica, n.version, n.revision, n.error].join(' ').toLowerCase()
}
