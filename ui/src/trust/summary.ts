import {
  countLeaves,
  missingOf,
  slowest,
  type CacheUse,
  type ChildRow,
  type FailedChild,
  type LeafCount,
  type PandoStats,
} from '../api/stats.ts'
import { leavesOf, walk, type Tree, type TreeNode } from '../api/tree.ts'

/** What the trust strip says of an answer. */
export interface Trust {
  /** Nothing is missing. Undefined if the answer does not tell. */
  whole: boolean | undefined
  missing: (FailedChild & { tier: string })[]
  /** All leaves of the tree, and what became of them. */
  leaves: number
  counts: LeafCount
  slowest: ChildRow | undefined
  /**
   * The oldest of the newest samples of the leaves asked, in milliseconds, whose it is, and how many seconds behind that
   * is by the clock of the tier: this machine's may be wrong.
   */
  freshness: { at: number; leaf: string; behind: number | undefined } | undefined
  cache: string
}

/** Sums up the statistics and warnings of an answer; what they do not tell of leaves, the live tree does. */
export function trust(
  stats: PandoStats | undefined,
  cache: CacheUse | undefined,
  warnings: string[],
  tree: Tree | undefined,
): Trust {
  const nodes = new Map<string, TreeNode>()
  if (tree) walk(tree.children, (n) => void nodes.set(n.name, n))
  const missing = missingOf(stats, warnings)
  const rows = stats?.children ?? []
  const counts = countLeaves(rows, (name) => nodes.get(name)?.leaves ?? 1)
  counts.asked += unheard(rows, nodes)
  return {
    whole: stats ? stats.complete && missing.length === 0 : missing.length > 0 ? false : undefined,
    missing,
    leaves: tree ? allLeaves(tree) : rows.filter((r) => r.tier === 'leaf').length,
    counts,
    slowest: slowest(rows),
    freshness: behind(tree?.self.tier === 'leaf' ? ofSelf(tree) : freshness(rows, nodes), tree),
    cache: cacheText(cache),
  }
}

// Those that are missing count too: they were asked, or would have been. A tier counts only those that are there.
function allLeaves(tree: Tree): number {
  return Math.max(tree.self.leaves, leavesOf(tree).length)
}

// Leaves below tiers that did not answer: they were asked, or would have been, and no row tells of them.
function unheard(rows: ChildRow[], nodes: Map<string, TreeNode>): number {
  const told = new Set(rows.map((r) => r.name))
  const failed = rows.flatMap((r) => (r.failed && r.tier !== 'leaf' ? (nodes.get(r.name)?.children ?? []) : []))
  const leaves = new Set<string>()
  walk(failed, (n) => {
    if (n.tier === 'leaf' && n.state !== 'missing' && !told.has(n.name)) leaves.add(n.name)
  })
  return leaves.size
}

interface Newest {
  at: number
  leaf: string
}

function behind(newest: Newest | undefined, tree: Tree | undefined): Trust['freshness'] {
  const now = Date.parse(tree?.at ?? '')
  return newest && { ...newest, behind: Number.isNaN(now) ? undefined : Math.max(0, (now - newest.at) / 1000) }
}

function ofSelf(tree: Tree): Newest | undefined {
  const at = Date.parse(tree.self.maxt ?? '')
  return Number.isNaN(at) ? undefined : { at, leaf: tree.self.name }
}

// The leaf that is furthest behind decides how fresh the whole is.
function freshness(rows: ChildRow[], nodes: Map<string, TreeNode>): Newest | undefined {
  let oldest: Newest | undefined
  for (const r of rows) {
    if (r.tier !== 'leaf' || r.verdict !== 'asked' || r.failed) continue
    const at = Date.parse(nodes.get(r.name)?.maxt ?? '')
    if (!Number.isNaN(at) && (!oldest || at < oldest.at)) oldest = { at, leaf: r.name }
  }
  return oldest
}

/** What the result cache had to do with an answer, in a few words; '' if nothing. */
export function cacheText(c: CacheUse | undefined): string {
  if (!c) return ''
  const steps = c.steps ? ` ${c.cached ?? 0} of ${c.steps} steps` : ''
  if (c.state === 'hit') return c.shared ? 'shared with another query' : 'all from cache'
  if (c.state === 'partial') return `from cache${steps}`
  return ''
}

/** The parts of pruning that are not zero, as text. */
export function prunedText(c: LeafCount): string {
  const parts: [number, string][] = [
    [c.hint, 'hint'],
    [c.label, 'label'],
    [c.time, 'time'],
    [c.rollup, 'rollup'],
  ]
  return parts
    .filter(([n]) => n > 0)
    .map(([n, why]) => `${n} ${why}`)
    .join(', ')
}

/** Short names of leaves: what differs, without the label names that all have: eu-1, or eu-1/0/a of a shard's replica. */
export function shortName(name: string): string {
  const value = (pair: string) => pair.slice(pair.indexOf('=') + 1)
  const [labels = name, ...parts] = name.split('/')
  return [value(labels.slice(labels.lastIndexOf(',') + 1)), ...parts.map(value)].join('/')
}
