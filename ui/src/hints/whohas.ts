import { ask } from '../api/client.ts'
import type { Tree, TreeNode } from '../api/tree.ts'
import { walk } from '../api/tree.ts'
import { ownTier } from '../api/stats.ts'
import { labelName } from '../parts/Labels.tsx'
import type { PlanEdge, PlanFragment, PlanTier } from '../planet/fanout.ts'
import { textOf, type Node } from '../query/ast.ts'
import { selecting, timeParams, type Times } from './times.ts'

/** A leaf that may hold series of a selector. */
export interface Holder {
  name: string
  /** The tiers between the one that was asked and the leaf. */
  above: string[]
  labels: Record<string, string>
  state: string
  /** How many series it has, if that was asked and answered. */
  series?: number
  /** Other leaves have the same labels, as shards do: series is the number of all. */
  shared?: boolean
}

/** Children of one tier that are ruled out by the same. */
export interface PrunedPart {
  by: string
  verdict: string
  evidence: string
  children: number
  /** Connected leaves that they are or have below. */
  leaves: number
}

/** A part of the tree that did not tell what is below. */
export interface Untold {
  name: string
  tier: string
  why: string
}

/** Who may hold series of a selector; all others cannot, if nobody is untold. */
export interface Holders {
  leaves: Holder[]
  /** Tiers that hold series of that name themselves, by their rules or rollups: no leaf is asked for them there. */
  own: string[]
  pruned: PrunedPart[]
  untold: Untold[]
}

/** Reads from the plan of a selector who may hold series of it: the method of `pando who-has`. */
export function holdersOf(plan: PlanTier, tree: Tree): Holders {
  const nodes = new Map<string, TreeNode>([[key(tree.self.tier, tree.self.name), tree.self]])
  walk(tree.children, (n) => nodes.set(key(n.tier, n.name), n))
  const out: Holders = { leaves: [], own: [], pruned: [], untold: [] }
  const f = new Finder(out, nodes)
  if (plan.tier === 'leaf') f.leaf(plan.name, [])
  f.follow(plan, [])
  return out
}

const key = (tier: string, name: string) => tier + ' ' + name

class Finder {
  private readonly seen = new Set<string>()
  private readonly out: Holders
  private readonly nodes: Map<string, TreeNode>

  constructor(out: Holders, nodes: Map<string, TreeNode>) {
    this.out = out
    this.nodes = nodes
  }

  follow(t: PlanTier, above: string[]): void {
    if (t.truncated) this.untold(t.name, t.tier, t.truncated)
    for (const f of t.fragments ?? []) {
      for (const e of f.children ?? []) this.edge(t, e, above)
      if (outnumbered(f)) this.untold(t.name, t.tier, f.note || 'some of its children have no row')
    }
  }

  private edge(t: PlanTier, e: PlanEdge, above: string[]): void {
    if (e.verdict !== 'asked') this.pruned(t, e)
    else if (e.tier === 'leaf') this.leaf(e.child, above)
    else if (e.tier === ownTier) this.own(titleOf(t))
    else if (e.below) this.follow(e.below, [...above, e.child])
    else this.untold(e.child, e.tier, e.failed || 'it did not say which of its children may')
  }

  leaf(name: string, above: string[]): void {
    if (this.seen.has(name)) return
    this.seen.add(name)
    const n = this.nodes.get(key('leaf', name))
    this.out.leaves.push({ name, above, labels: n?.labels ?? {}, state: n?.state ?? 'unknown' })
  }

  private own(title: string): void {
    if (!this.out.own.includes(title)) this.out.own.push(title)
  }

  private pruned(t: PlanTier, e: PlanEdge): void {
    const leaves = this.nodes.get(key(e.tier, e.child))?.leaves ?? 0
    const by = titleOf(t)
    const evidence = e.evidence ?? ''
    const same = this.out.pruned.find((p) => p.by === by && p.verdict === e.verdict && p.evidence === evidence)
    if (same) {
      same.children++
      same.leaves += leaves
    } else this.out.pruned.push({ by, verdict: e.verdict, evidence, children: 1, leaves })
  }

  private untold(name: string, tier: string, why: string): void {
    this.out.untold.push({ name, tier, why })
  }
}

const titleOf = (t: PlanTier) => (t.name === t.tier ? t.tier : `${t.tier} ${t.name}`)

// Whether some children of a fragment have no row.
function outnumbered(f: PlanFragment): boolean {
  const pruned = Object.values(f.pruned ?? {}).reduce((a, n) => a + n, 0)
  const rows = (f.children ?? []).filter((e) => e.verdict !== 'asked').length
  return rows < pruned
}

/** What answers of a count of series by identity labels tell of holders. */
export interface Counted {
  /** The labels that were counted by. */
  by: string[]
  counts: { metric: Record<string, string>; value: number }[]
  /** The names of members that did not answer. */
  silent: ReadonlySet<string>
}

/** The labels by which leaves are told apart, to count by. */
export function identityOf(leaves: Holder[]): string[] {
  return [...new Set(leaves.flatMap((l) => Object.keys(l.labels)))].sort()
}

/** Notes how many series leaves have; not of those that did not answer, or share their labels with one that did not. */
export function counted(leaves: Holder[], { by, counts, silent }: Counted): Holder[] {
  const identity = (labels: Record<string, string>) => JSON.stringify(by.map((l) => labels[l] ?? ''))
  const values = new Map(counts.map((c) => [identity(c.metric), c.value]))
  const sharing = new Map<string, number>()
  const unknown = new Set<string>()
  for (const l of leaves) {
    const id = identity(l.labels)
    sharing.set(id, (sharing.get(id) ?? 0) + 1)
    if (silent.has(l.name) || l.state === 'missing' || l.above.some((a) => silent.has(a))) unknown.add(id)
  }
  return leaves.map((l) => {
    const id = identity(l.labels)
    return {
      ...l,
      shared: (sharing.get(id) ?? 0) > 1,
      ...(!unknown.has(id) && { series: values.get(id) ?? 0 }),
    }
  })
}

/** The text of a plain selector, its parentheses taken off; undefined for any other expression. */
export function plainSelector(ast: Node): string | undefined {
  if (ast.type === 'parenExpr') return plainSelector(ast.expr)
  const plain =
    ast.type === 'vectorSelector' &&
    !ast.offset &&
    !ast.offsetExpr &&
    ast.timestamp == null &&
    !ast.startOrEnd &&
    !ast.anchored &&
    !ast.smoothed
  return plain ? textOf(ast) : undefined
}

/** The plan of a selector, and the times that it is of. */
export interface Asked {
  selector: string
  times: Times
  plan: PlanTier
}

/** Asks for the plan of a selector. Throws ApiError, or an Error that says why the text is no selector. */
export async function whoHas(text: string, times: Times, signal: AbortSignal): Promise<Asked> {
  const parsed = await ask<Node>('/api/v1/parse_query', { query: text }, { signal })
  const selector = plainSelector(parsed.data)
  if (selector === undefined)
    throw new Error(
      'This is not a plain selector such as up{job="api"}: write a metric with matchers, without functions, ranges or offsets.',
    )
  const params = { query: selector, ...timeParams(times) }
  const { data } = await ask<{ explanation: PlanTier | null }>('/pando/api/v1/explain', params, { signal })
  if (!data.explanation) throw new Error('this tier did not tell a plan')
  return { selector, times, plan: data.explanation }
}

interface Vector {
  result: { metric: Record<string, string>; value: [number, string] }[]
  stats?: { pando?: { failed: { name: string }[] | null } }
}

/** Asks the leaves how many series each has. */
export async function verify(
  { selector, times }: Asked,
  leaves: Holder[],
  signal?: AbortSignal,
): Promise<{ leaves: Holder[]; warnings: string[] }> {
  const by = identityOf(leaves)
  const what = selecting(selector, times)
  const query = by.length > 0 ? `count by (${by.map(labelName).join(', ')}) (${what})` : `count(${what})`
  const params = { query, time: times.end, stats: 'all' }
  const answer = await ask<Vector>('/api/v1/query', params, signal ? { signal } : {})
  const silent = new Set((answer.data.stats?.pando?.failed ?? []).map((f) => f.name))
  const counts = answer.data.result.map((r) => ({ metric: r.metric, value: Number(r.value[1]) }))
  return { leaves: counted(leaves, { by, counts, silent }), warnings: answer.warnings }
}
