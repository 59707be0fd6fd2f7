import type { Tree, TreeNode } from '../api/tree.ts'
import { leavesUnknown } from '../leaves/rows.ts'
import type { Class, Colouring } from './colouring.ts'

/** A tree in which zones that did not tell who is below them have those who were there before. */
export interface Remembered {
  tree: Tree
  /** The ids of members that were not told of this time; everything known of them is old. */
  stale: Set<string>
}

/** Fills in what a tree does not tell from the one before: a zone that is slow or away for a moment keeps its place, and its leaves are marked. */
export function remember(now: Tree, before: Remembered | undefined): Remembered {
  const stale = new Set<string>()
  if (!before) return { tree: now, stale }
  const children = now.children.map((n) =>
    filled(
      n,
      before.tree.children.find((o) => o.name === n.name),
      '',
      stale,
    ),
  )
  return { tree: stale.size > 0 ? { ...now, children } : now, stale }
}

function filled(n: TreeNode, old: TreeNode | undefined, above: string, stale: Set<string>): TreeNode {
  const id = above ? above + ' > ' + n.name : n.name
  if (leavesUnknown(n) && !n.children?.length && old?.children?.length) {
    mark(old.children, id, stale)
    return { ...n, children: old.children }
  }
  if (!n.children?.some((c) => c.tier !== 'leaf')) return n
  return {
    ...n,
    children: n.children.map((c) =>
      c.tier === 'leaf'
        ? c
        : filled(
            c,
            old?.children?.find((o) => o.name === c.name),
            id,
            stale,
          ),
    ),
  }
}

function mark(nodes: TreeNode[], above: string, stale: Set<string>): void {
  for (const n of nodes) {
    const id = above + ' > ' + n.name
    stale.add(id)
    if (n.children) mark(n.children, id, stale)
  }
}

const notTold: Class = {
  id: 'stale',
  title: 'not told now',
  means:
    'the zone above is missing, or did not answer in time: it is shown where it last was, and how it is now is not known',
  color: ['#868e96', '#868e96'],
  mark: 'ring',
  alarming: true,
}

/** A colouring that sets members apart that were not told of. */
export function withStale(c: Colouring, stale: ReadonlySet<string>): Colouring {
  if (stale.size === 0) return c
  return {
    ...c,
    classes: [...c.classes, notTold],
    of: (n, id) => (stale.has(id) ? notTold.id : c.of(n, id)),
    text: (n, id) => (stale.has(id) ? notTold.title : c.text(n, id)),
    width: (n, id) => (stale.has(id) ? 0 : c.width(n, id)),
  }
}
