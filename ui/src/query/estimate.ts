import type { Edge, Explanation, Fragment } from '../api/explain.ts'
import { ownTier, type Verdict } from '../api/stats.ts'
import { walk, type Tree } from '../api/tree.ts'

/** The parts of an explanation that an estimate is made of. */
export type Plan = Pick<Explanation, 'name' | 'tier' | 'residual' | 'cuts' | 'truncated'> & {
  fragments?: (Pick<Fragment, 'kind' | 'query' | 'why' | 'pruned' | 'rollup'> & {
    children: (Pick<Edge, 'child' | 'tier' | 'verdict' | 'failed'> & { below?: Plan })[] | null
  })[]
}

/** What a query would ask, before it is asked. Leaves and series are of the whole tree below. */
export interface Estimate {
  leaves: number
  asked: number
  /** Leaves that are not asked, by why. A leaf that one part of the query asks is asked. */
  pruned: { hint: number; label: number; time: number; rollup: number }
  /** What children evaluate, and what is pulled as raw series; each with its expression. */
  pushed: string[]
  raw: string[]
  rollups: number
  /** Series that all leaves asked for raw series hold: no more than those can come. */
  rawSeries: number
  cuts: { expr: string; why: string }[]
  /** Tiers of which not all is known: they did not answer, or their plans are cut short. */
  untold: string[]
}

const order: Record<Verdict, number> = {
  asked: 5,
  replaced: 4,
  rollup: 3,
  'pruned-hint': 2,
  'pruned-time': 1,
  'pruned-label': 0,
}

/** Sums up a plan. What it does not tell of the leaves below a child, the live tree does. */
export function estimate(plan: Plan, tree: Tree | undefined): Estimate {
  const nodes = new Map<string, { leaves: string[]; series: number }>()
  const all: string[] = []
  if (tree)
    walk(tree.children, (n, above) => {
      nodes.set(n.name, { leaves: n.tier === 'leaf' ? [n.name] : [], series: n.series })
      if (n.tier !== 'leaf') return
      all.push(n.name)
      for (const a of above) nodes.get(a.name)?.leaves.push(n.name)
    })
  const verdicts = new Map<string, Verdict>()
  const rawLeaves = new Set<string>()
  const note = (name: string, v: Verdict, raw: boolean) => {
    for (const leaf of nodes.get(name)?.leaves ?? [name]) {
      const old = verdicts.get(leaf)
      if (!old || order[v] > order[old]) verdicts.set(leaf, v)
      if (raw && v === 'asked') rawLeaves.add(leaf)
    }
  }
  const untold = new Set<string>()
  const visit = (p: Plan) => {
    if (p.truncated) untold.add(p.name)
    for (const f of p.fragments ?? [])
      for (const c of f.children ?? []) {
        if (c.tier === ownTier) continue
        if (c.failed) untold.add(c.child)
        if (c.verdict === 'asked' && c.below?.fragments?.length) visit(c.below)
        else note(c.child, c.verdict, f.kind === 'raw')
      }
  }
  visit(plan)
  const count = (v: Verdict) => [...verdicts.values()].filter((x) => x === v).length
  const queries = (raw: boolean) => [
    ...new Set((plan.fragments ?? []).filter((f) => (f.kind === 'raw') === raw).map((f) => f.query)),
  ]
  return {
    // A zone that was lost since has no leaves in the tree, and has them in the plan.
    leaves: Math.max(all.length, verdicts.size, tree?.self.tier === 'leaf' ? 1 : 0),
    asked: plan.tier === 'leaf' ? 1 : count('asked'),
    pruned: {
      hint: count('pruned-hint'),
      label: count('pruned-label'),
      time: count('pruned-time'),
      rollup: count('rollup'),
    },
    pushed: queries(false),
    raw: queries(true),
    rollups: (plan.fragments ?? []).filter((f) => f.rollup).length,
    rawSeries: [...rawLeaves].reduce((n, leaf) => n + (nodes.get(leaf)?.series ?? 0), 0),
    cuts: plan.cuts ?? [],
    untold: [...untold],
  }
}

/** Raw series beyond this many, of all leaves asked, are worth a warning. */
export const manySeries = 1_000_000

/** Why a query may be expensive, or be refused; empty if nothing speaks for it. */
export function warnings(e: Estimate, steps: number): string[] {
  const out: string[] = []
  if (steps > 11_000) out.push(`${steps} steps: more than 11 000 are refused. Choose a longer step.`)
  if (e.asked > 0 && [...e.raw, ...e.pushed].some(nameless))
    out.push('A selector without a metric name may match every series that the leaves hold.')
  if (e.raw.length > 0 && e.rawSeries >= manySeries)
    out.push('Raw series are pulled instead of pushing the query down, from leaves that hold more than a million.')
  if (e.raw.length > 0 && steps > 2000 && e.asked > 1)
    out.push(
      'Raw series are pulled for a long range in fine steps. An aggregation around the selector would be pushed down.',
    )
  return out
}

// Expressions of plans are written by the tier: a name stands before the brace, or is the first matcher, in quotes or as __name__=.
function nameless(expr: string): boolean {
  const bare = expr.replace(/"(?:[^"\\]|\\.)*"/g, '""')
  return [...bare.matchAll(/(?:^|[^\w:])\{([^}]*)\}/g)].some(
    (m) => !/(^|,\s*)(""\s*(,|$)|__name__="")/.test(m[1] ?? ''),
  )
}
