/** What became of a child in a query; querytree/report.go describes them. */
export type Verdict = 'asked' | 'replaced' | 'pruned-hint' | 'pruned-time' | 'pruned-label' | 'rollup'

/** What a tier holds itself, of rollups and rules, is a row as its children are, and no leaf. */
export const ownTier = 'rollups'

/** What one child of any tier below contributed to an answer. Times are seconds. */
export interface ChildRow {
  name: string
  tier: 'leaf' | 'zone' | 'root' | typeof ownTier
  verdict: Verdict
  requests: number
  series: number
  samples: number
  /** Why its part is missing or incomplete. */
  failed?: string
  /** It missed its soft deadline. */
  late?: boolean
  /** A replica was raced with it. */
  hedged?: boolean
  /** Some of its part came from a cache. */
  cached?: boolean
  /** The matcher or the time by which it was pruned. */
  evidence?: string
  /** Bytes on the wire, or in memory between tiers of one process. */
  bytes?: number
  /** Its slowest request, as its parent saw it. */
  time?: number
}

/** A child whose part is missing or incomplete. */
export interface FailedChild {
  name: string
  reason: string
  late?: boolean
}

export interface PrunedBy {
  verdict: Verdict
  evidence: string
  children: number
}

/** A rollup that had a part in an answer: steps of the of were its; until, in milliseconds, is its newest point. */
export interface RollupUse {
  tier: string
  rule: string
  steps: number
  of: number
  until: number
}

/** At which times, in milliseconds, a range was evaluated that asked for alignment. */
export interface Alignment {
  start: number
  end: number
  step: number
  askedStart: number
  askedEnd: number
  askedStep: number
  why?: string
}

/** What became of each child in one query: data.stats.pando of an answer, see docs/api.md and querytree/treehttp/stats.go. */
export interface Completeness {
  complete: boolean
  asked: number
  answered: number
  /** Replicas in whose place others answered: neither asked nor answered counts them. */
  replaced?: number
  pruned: { label: number; time: number; hint: number; rollup?: number }
  failed: FailedChild[]
  children: ChildRow[]
  prunedBy?: PrunedBy[]
  late: number
  hedged: number
  cached: number
  series: number
  samples: number
  bytes: number
  rollups?: RollupUse[]
  aligned?: Alignment
}

/** Completeness with how the evaluation went; times are seconds. */
export interface PandoStats extends Completeness {
  queryId?: string
  queued: number
  planned: number
  total: number
  replans: number
  fragments: number
}

/** What the tier's result cache had to do with an answer: hit, miss, partial, or why it was not used. */
export interface CacheUse {
  state: string
  steps?: number
  cached?: number
  pieces?: number
  shared?: boolean
}

/** data.stats of an answer to a query that asked for stats=all. */
export interface QueryStats {
  timings?: Record<string, number>
  samples?: { totalQueryableSamples?: number; peakSamples?: number }
  pando?: PandoStats
  cache?: CacheUse
}

/** What is missing from an answer, as a warning tells it. */
export interface Missing {
  tier: string
  name: string
  reason: string
}

const missingForm = /^partial answer: (leaf|zone|root) ("(?:[^"\\]|\\.)*") did not answer: ([\s\S]*)$/

/** Reads a warning about a child that is missing from the answer; undefined for any other warning. */
export function parseMissing(warning: string): Missing | undefined {
  const m = missingForm.exec(warning)
  const name = m && unquoteGo(m[2] ?? '')
  return m && name !== undefined && name !== null ? { tier: m[1] ?? '', name, reason: m[3] ?? '' } : undefined
}

const simpleEscapes: Record<string, string> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
}

/** The string that a Go literal in double quotes stands for; undefined if it is none. Bytes that are no UTF-8 become U+FFFD. */
export function unquoteGo(literal: string): string | undefined {
  if (literal.length < 2 || !literal.startsWith('"') || !literal.endsWith('"')) return undefined
  const bytes: number[] = []
  const utf8 = new TextEncoder()
  const push = (s: string) => bytes.push(...utf8.encode(s))
  const text = literal.slice(1, -1)
  for (let i = 0; i < text.length;) {
    if (text[i] !== '\\') {
      const c = String.fromCodePoint(text.codePointAt(i) ?? 0)
      push(c)
      i += c.length
      continue
    }
    const m = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([abfnrtv\\"]))/.exec(
      text.slice(i),
    )
    if (!m) return undefined
    if (m[1]) bytes.push(parseInt(m[1], 16))
    else if (m[2] ?? m[3]) push(String.fromCodePoint(parseInt(m[2] ?? m[3] ?? '', 16)))
    else if (m[4]) bytes.push(parseInt(m[4], 8) & 255)
    else push(simpleEscapes[m[5] ?? ''] ?? '')
    i += m[0].length
  }
  return new TextDecoder().decode(new Uint8Array(bytes))
}

/** Numbers of leaves by what became of them. Leaves below a child that was not asked have no row, and are not counted. */
export interface LeafCount {
  asked: number
  failed: number
  late: number
  hint: number
  label: number
  time: number
  rollup: number
}

const pruning: Record<string, 'hint' | 'label' | 'time' | 'rollup'> = {
  'pruned-hint': 'hint',
  'pruned-label': 'label',
  'pruned-time': 'time',
  rollup: 'rollup',
}

/**
 * Counts leaves by verdict. A zone that was not asked stands for all the leaves
 * below it, of which below tells how many there are (1 for a leaf).
 */
export function countLeaves(rows: ChildRow[], below: (name: string) => number): LeafCount {
  const n: LeafCount = { asked: 0, failed: 0, late: 0, hint: 0, label: 0, time: 0, rollup: 0 }
  for (const r of rows) {
    if (r.tier === ownTier || r.verdict === 'replaced') continue
    const leaves = r.tier === 'leaf' ? 1 : below(r.name)
    const why = pruning[r.verdict]
    if (why) {
      n[why] += leaves
      continue
    }
    if (r.tier === 'leaf') n.asked++
    if (r.failed) n.failed += leaves
    if (r.late) n.late += leaves
  }
  return n
}

/** The child whose slowest request took longest, of those no tier of which is above another that took as long: leaves before zones. */
export function slowest(rows: ChildRow[]): ChildRow | undefined {
  let best: ChildRow | undefined
  for (const r of rows) {
    if (r.time === undefined) continue
    if (!best || (r.tier === 'leaf' && best.tier !== 'leaf')) best = r
    else if (r.tier === 'leaf' || best.tier !== 'leaf') if (r.time > (best.time ?? 0)) best = r
  }
  return best
}

/** Children that failed, from the statistics or, for an answer without them, from its warnings. Those that were late say so. */
export function missingOf(stats: Completeness | undefined, warnings: string[]): (FailedChild & { tier: string })[] {
  const tiers = new Map(stats?.children.map((c) => [c.name, c.tier]))
  const out = new Map<string, FailedChild & { tier: string }>()
  for (const f of stats?.failed ?? []) out.set(f.name, { ...f, tier: tiers.get(f.name) ?? '' })
  for (const w of warnings) {
    const m = parseMissing(w)
    if (m && !out.has(m.name)) out.set(m.name, m)
  }
  return [...out.values()]
}
