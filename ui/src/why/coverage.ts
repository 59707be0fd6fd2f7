import type { Explanation } from '../api/explain.ts'
import { countLeaves, type ChildRow, type Completeness, type FailedChild, type Verdict } from '../api/stats.ts'
import { walk, type Tree } from '../api/tree.ts'
import type { Level } from '../parts/Health.tsx'
import { counted, title } from './words.ts'

/** How whole an answer is, or would be, in plain words. */
export interface Coverage {
  level: Level
  headline: string
  /** More of the same, a sentence each. */
  details: string[]
  missing: (FailedChild & { tier: string })[]
}

/** How many leaves are below each member of the tree, and below the tier itself under ''. */
export function leavesBelow(tree: Tree | undefined): (name: string) => number {
  const n = new Map<string, number>()
  if (tree) {
    n.set('', tree.self.leaves)
    walk(tree.children, (c) => n.set(c.name, c.tier === 'leaf' ? 1 : c.leaves))
  }
  return (name) => n.get(name) ?? (name === '' ? 0 : 1)
}

const strength: Verdict[] = ['pruned-label', 'pruned-time', 'pruned-hint', 'rollup', 'replaced', 'asked']

/** The rows that an explanation has for children of all tiers: one for each, merged as the tiers themselves do it. */
export function rowsOf(x: Explanation | null | undefined): ChildRow[] {
  const rows = new Map<string, ChildRow>()
  const visit = (x: Explanation) => {
    for (const f of x.fragments ?? []) {
      if (f.kind === 'guard') continue
      for (const e of f.children ?? []) {
        const old = rows.get(e.child)
        const row: ChildRow = {
          name: e.child,
          tier: e.tier as ChildRow['tier'],
          verdict: e.verdict,
          requests: (old?.requests ?? 0) + (e.verdict === 'asked' ? 1 : 0),
          series: (old?.series ?? 0) + (e.series ?? 0),
          samples: (old?.samples ?? 0) + (e.samples ?? 0),
        }
        if (old && strength.indexOf(old.verdict) > strength.indexOf(e.verdict)) row.verdict = old.verdict
        const failed = old?.failed ?? e.failed
        if (failed) row.failed = failed
        if (old?.late || e.late) row.late = true
        if (old?.hedged || e.hedged) row.hedged = true
        if (old?.cached || e.cached) row.cached = true
        rows.set(e.child, row)
        if (e.below) visit(e.below)
      }
    }
  }
  if (x) visit(x)
  return [...rows.values()]
}

/** What is to be told of, besides the rows of the children. */
export interface Subject {
  /** Something was evaluated; else only a plan is told of. */
  evaluated: boolean
  tier: string
  missing: (FailedChild & { tier: string })[]
  tree?: Tree | undefined
  /** Children of all tiers that were pruned, where they have no rows: past queries keep only how many. */
  pruned?: Completeness['pruned'] | undefined
  /** Some rows are not there: those of tiers below, or all. */
  cut?: string | undefined
}

/** Tells how whole an answer is. Leaves below a pruned zone count as pruned. */
export function coverage(rows: ChildRow[], s: Subject): Coverage {
  const below = leavesBelow(s.tree)
  const n = countLeaves(rows, below)
  const pruned = n.hint + n.label + n.time + n.rollup
  // Leaves below a child that failed as a whole have no rows of their own.
  const told = n.asked + pruned + silent(rows, s, below)
  const total = Math.max(below(''), told)
  const details: string[] = []
  if (pruned) details.push(`Pruned ${pruning(n)}: no series of theirs can match, so nothing is missing.`)
  if (s.pruned) details.push(`Pruned ${pruning(s.pruned)}; how many leaves that are is not kept.`)
  else if (total > told) {
    const rest = counted(total - told, 'leaf is', 'leaves are')
    details.push(`${rest} not told of: replicas of others, below a tier that did not say, or not needed.`)
  }
  if (s.cut) details.push(s.cut)
  const away = s.evaluated ? [] : missingLeaves(s.tree)
  const asked = s.evaluated ? 'asked' : 'to be asked'
  const reached = total - pruned - Math.max(0, total - told)
  const count = s.pruned
    ? `${counted(reached, 'leaf', 'leaves')} ${asked}, ${counted(sum(s.pruned), 'child', 'children')} pruned`
    : `${counted(total, 'leaf', 'leaves')}, ${reached} ${asked}, ${pruned} pruned`
  const whose =
    rows.length || s.tier !== 'leaf'
      ? rows.length || !s.cut
        ? count
        : 'who was asked is not kept'
      : 'the leaf answers by itself'
  if (s.missing.length) return { ...partial(s, whose), details: [...rest(s), ...details], missing: s.missing }
  if (!s.evaluated && away.length) {
    details.unshift(
      `Not connected now: ${away.slice(0, 5).join(', ')}${away.length > 5 ? ` and ${away.length - 5} more` : ''}. An answer that needs them would be partial.`,
    )
    return { level: 'warn', headline: `Plan: ${whose}`, details, missing: [] }
  }
  if (!s.evaluated)
    return { level: 'off', headline: `Plan: ${whose}`, details: ['Nothing was evaluated.', ...details], missing: [] }
  return { level: 'good', headline: `This answer is whole: ${whose}`, details, missing: [] }
}

function silent(rows: ChildRow[], s: Subject, below: (name: string) => number): number {
  if (!s.tree) return 0
  const named = new Set(rows.map((r) => r.name))
  let n = 0
  walk(s.tree.children, (c, above) => {
    if (c.tier !== 'leaf' || named.has(c.name)) return
    if (above.some((a) => rows.some((r) => r.name === a.name && r.failed))) n += below(c.name)
  })
  return n
}

const sum = (n: Completeness['pruned']) => n.hint + n.label + n.time + (n.rollup ?? 0)

function pruning(n: Completeness['pruned']): string {
  const by: [number, string][] = [
    [n.hint, 'field hint'],
    [n.label, 'identity label'],
    [n.time, 'time'],
    [n.rollup ?? 0, 'rollup'],
  ]
  return by
    .filter(([k]) => k > 0)
    .map(([k, w]) => `${k} by ${w}`)
    .join(', ')
}

function partial(s: Subject, count: string): Pick<Coverage, 'level' | 'headline'> {
  const first = s.missing[0] as FailedChild & { tier: string }
  const more = s.missing.length > 1 ? `, and ${s.missing.length - 1} more` : ''
  const verb = s.evaluated ? 'did not answer' : 'did not tell its plan'
  const head = s.evaluated ? 'PARTIAL' : 'The plan is not whole'
  return {
    level: s.evaluated ? 'bad' : 'warn',
    headline: `${head}: ${title(first.tier, first.name)} ${verb}: ${first.reason}${more} (${count})`,
  }
}

function rest(s: Subject): string[] {
  return s.missing.slice(1, 20).map((m) => `${title(m.tier, m.name)}: ${m.reason}${m.late ? ' (late)' : ''}`)
}

function missingLeaves(tree: Tree | undefined): string[] {
  const names: string[] = []
  if (tree) walk(tree.children, (n) => n.state === 'missing' && names.push(title(n.tier, n.name)))
  return names
}
