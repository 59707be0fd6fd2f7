import type { Cut, Edge, Explanation, Fragment } from '../api/explain.ts'
import type { Verdict } from '../api/stats.ts'
import { oneLine } from './words.ts'

interface Base {
  key: string
  depth: number
  /** Undefined if nothing can be opened below. */
  open?: boolean | undefined
}

/** A line of a plan that is shown as a tree. */
export type Row =
  | (Base & { kind: 'tier'; x: Explanation })
  | (Base & { kind: 'note'; note: Note; expr?: string; text: string })
  | (Base & { kind: 'fragment'; f: Fragment })
  | (Base & { kind: 'edge'; e: Edge; own?: number | undefined })
  | (Base & { kind: 'pruned'; verdict: Verdict; evidence: string; children: string[]; more: number })
  | (Base & { kind: 'name'; name: string })
  | (Base & { kind: 'more'; hidden: number })

export type Note = 'evaluates' | 'aligned' | 'keeps' | 'no rollup' | 'planned again' | 'cache' | 'left out' | 'rollup'

/** Children of one fragment that are listed before one asks for more. */
export const listed = 20
// So many rows are shown opened at once; larger plans open along failures and the slowest child.
const small = 80
// Names that a pruned group shows.
const named = 500

/** What is opened: keys whose state is not the one that a row has by itself. */
export type Toggled = ReadonlySet<string>

/** The lines of a plan in sight, parents before what is below them. */
export function planRows(x: Explanation, toggled: Toggled): Row[] {
  const out: Row[] = []
  const all = edges(x) <= small
  const isOpen = (key: string, byItself: boolean) => byItself !== toggled.has(key)

  const tier = (x: Explanation, key: string, depth: number) => {
    out.push({ kind: 'tier', key, depth, x })
    work(x, key, depth + 1)
  }
  const note = (key: string, depth: number, n: Note, text: string, expr?: string) =>
    out.push({
      kind: 'note',
      key: `${key}!${n}${out.length}`,
      depth,
      note: n,
      text,
      ...(expr === undefined ? {} : { expr: oneLine(expr) }),
    })
  const cuts = (key: string, depth: number, n: Note, list: Cut[] | undefined) => {
    for (const c of list ?? []) note(key, depth, n, c.why, c.expr)
  }
  const work = (x: Explanation, key: string, depth: number) => {
    if (x.residual) note(key, depth, 'evaluates', '', x.residual)
    if (x.aligned) note(key, depth, 'aligned', x.aligned.why ?? 'the times were moved to where rollups have points')
    cuts(key, depth, 'keeps', x.cuts)
    cuts(key, depth, 'no rollup', x.unrolled)
    for (const r of x.replans ?? []) note(key, depth, 'planned again', r)
    if (x.cache) note(key, depth, 'cache', x.cache)
    x.fragments?.forEach((f, i) => fragment(f, `${key}/${i}`, depth))
    if (x.truncated) note(key, depth, 'left out', x.truncated)
  }
  const fragment = (f: Fragment, key: string, depth: number) => {
    out.push({ kind: 'fragment', key, depth, f })
    if (f.rollup)
      note(key, depth + 1, 'rollup', `${f.rollup.steps} of ${f.rollup.of} steps come from rollup ${f.rollup.rule}`)
    const asked = byUrgency((f.children ?? []).filter((e) => e.verdict === 'asked'))
    const everyone = toggled.has(key + '#all')
    asked.forEach((e, i) => {
      if (i < listed || everyone || e.failed) edge(e, f, `${key}:${e.child}`, depth + 1, e === asked[0] || all)
    })
    const hidden = everyone ? 0 : asked.filter((e, i) => i >= listed && !e.failed).length
    if (hidden) out.push({ kind: 'more', key: key + '#all', depth: depth + 1, hidden })
    for (const g of groups(f)) group(g, `${key}?${g.verdict}?${g.evidence}`, depth + 1)
    if (f.note) note(key, depth + 1, 'left out', f.note)
  }
  const edge = (e: Edge, f: Fragment, key: string, depth: number, first: boolean) => {
    const below = e.below
    const more = below !== undefined && ((below.fragments?.length ?? 0) > 0 || !!below.residual || !!below.truncated)
    const open = more ? isOpen(key, first || troubled(below)) : undefined
    out.push({ kind: 'edge', key, depth, e, open, own: below?.totalNs })
    if (!open || !below) return
    // What repeats the fragment's own query says nothing new.
    if (oneLine(below.query) === oneLine(f.query)) work(below, key, depth + 1)
    else tier(below, key + '/tier', depth + 1)
  }
  const group = (g: Group, key: string, depth: number) => {
    const open = g.children.length ? isOpen(key, false) : undefined
    out.push({
      kind: 'pruned',
      key,
      depth,
      verdict: g.verdict,
      evidence: g.evidence,
      children: g.children,
      more: g.more,
      open,
    })
    if (!open) return
    for (const name of g.children.slice(0, named))
      out.push({ kind: 'name', key: `${key}:${name}`, depth: depth + 1, name })
    if (g.children.length > named)
      note(key, depth + 1, 'left out', `${g.children.length - named} more names; the JSON has them all`)
  }
  tier(x, '', 0)
  return out
}

function edges(x: Explanation): number {
  let n = 1
  for (const f of x.fragments ?? [])
    for (const e of f.children ?? []) n += e.verdict !== 'asked' ? 0 : e.below ? edges(e.below) : 1
  return n
}

/** Whether anything failed in or below a tier. */
export function troubled(x: Explanation | undefined): boolean {
  return !!x?.fragments?.some((f) => f.children?.some((e) => !!e.failed || troubled(e.below)))
}

// Those that failed first, then the slowest.
function byUrgency(edges: Edge[]): Edge[] {
  const bad = (e: Edge) => (e.failed ? 2 : troubled(e.below) ? 1 : 0)
  return edges.toSorted((a, b) => bad(b) - bad(a) || (b.timeNs ?? 0) - (a.timeNs ?? 0))
}

interface Group {
  verdict: Verdict
  evidence: string
  children: string[]
  more: number
}

/** Children that were pruned, by what; those without a row are counted by their verdict alone. */
function groups(f: Fragment): Group[] {
  const by = new Map<string, Group>()
  const seen = new Map<string, number>()
  for (const e of f.children ?? []) {
    if (e.verdict === 'asked') continue
    const key = `${e.verdict} ${e.evidence ?? ''}`
    const g = by.get(key) ?? { verdict: e.verdict, evidence: e.evidence ?? '', children: [], more: 0 }
    g.children.push(e.child)
    by.set(key, g)
    seen.set(e.verdict, (seen.get(e.verdict) ?? 0) + 1)
  }
  for (const [v, n] of Object.entries(f.pruned ?? {})) {
    const more = n - (seen.get(v) ?? 0)
    if (more > 0) by.set(v, { verdict: v as Verdict, evidence: '', children: [], more })
  }
  return [...by.values()].sort((a, b) => b.children.length + b.more - (a.children.length + a.more))
}
