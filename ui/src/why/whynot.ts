import type { Edge, Explanation, Fragment } from '../api/explain.ts'
import { walk, type Tree, type TreeNode } from '../api/tree.ts'
import { oneLine, reason, splitReplica, title } from './words.ts'

/** A leaf of the live tree, and the names of all from below this tier down to it. */
export interface Place {
  node: TreeNode
  path: string[]
}

/** Finds a leaf by its name or a part of it; several if the part does not tell which. */
export function findLeaf(tree: Tree, name: string): Place[] {
  const found: Place[] = []
  let exact: Place | undefined
  walk(tree.children, (n, above) => {
    if (n.tier !== 'leaf') return
    const p = { node: n, path: [...above.map((a) => a.name), n.name] }
    if (n.name === name) exact = p
    else if (n.name.includes(name)) found.push(p)
  })
  return exact ? [exact] : found
}

/** What became of a leaf in one fragment: where the way to it ended, and why. */
export interface Finding {
  query: string
  /** The tier that decided. */
  by: string
  outcome: 'asked' | 'ruled out' | 'failed' | 'unknown'
  text: string
  edge?: Edge
}

/** Follows a leaf through all fragments of a plan. Findings that say the same are told once. */
export function follow(x: Explanation, path: string[]): Finding[] {
  const out: Finding[] = []
  const add = (f: Finding) => {
    if (!out.some((o) => o.query === f.query && o.by === f.by && o.text === f.text)) out.push(f)
  }
  const visit = (x: Explanation, path: string[]) => {
    for (const f of x.fragments ?? []) {
      // What must have no result says nothing of where series are.
      if (f.kind === 'guard') continue
      const e = f.children?.find((c) => c.child === path[0])
      const by = title(x.tier, x.name)
      const base = { query: oneLine(f.query), by }
      if (!e) add({ ...base, outcome: 'unknown', text: absent(f, path[0] ?? '') })
      else if (e.verdict !== 'asked')
        add({
          ...base,
          outcome: 'ruled out',
          text: `did not ask ${title(e.tier, e.child)}, by ${reason(e.verdict, e.evidence)}`,
          edge: e,
        })
      else if (e.failed)
        add({ ...base, outcome: 'failed', text: `asked ${title(e.tier, e.child)}, which failed: ${e.failed}`, edge: e })
      else if (path.length === 1) add({ ...base, outcome: 'asked', text: 'asks it', edge: e })
      else if (!e.below)
        add({
          ...base,
          outcome: 'unknown',
          text: `asks ${title(e.tier, e.child)}, which does not explain itself`,
          edge: e,
        })
      else visit(e.below, path.slice(1))
    }
  }
  visit(x, path)
  return out
}

function absent(f: Fragment, name: string): string {
  const { set, replica } = splitReplica(name)
  const other = replica === undefined ? undefined : f.children?.find((e) => splitReplica(e.child).set === set)
  if (other) return `considers another replica in its place: ${other.child}`
  return `does not tell of ${name}${f.note ? ': ' + f.note : ''}`
}

/** Whether the way of any fragment ends at the leaf itself. */
export function reached(findings: Finding[], leaf: string): boolean {
  return findings.some((f) => f.outcome === 'asked' || (f.outcome === 'failed' && f.edge?.child === leaf))
}
