import type { Tree, TreeNode } from '../api/tree.ts'
import { walk } from '../api/tree.ts'

/** A member with the tiers above it. */
export interface Found {
  node: TreeNode
  above: TreeNode[]
}

/** Finds the members of that name: one may be connected to several zones. '' is the tier itself. */
export function findMember(tree: Tree, name: string): Found[] {
  if (name === '' || name === tree.self.name) return [{ node: tree.self, above: [] }]
  const out: Found[] = []
  walk(tree.children, (node, above) => {
    if (node.name === name) out.push({ node, above })
  })
  return out
}

/** The names that look like one that was not found. */
export function similar(tree: Tree, name: string, most: number): string[] {
  const words = name
    .toLowerCase()
    .split(/[=,/ ]+/)
    .filter((w) => w.length > 1)
  const scores = new Map<string, number>()
  walk(tree.children, (n) => {
    const parts = n.name.toLowerCase().split(/[=,/ ]+/)
    const score = words.filter((w) => parts.includes(w)).length
    if (score > 0) scores.set(n.name, score)
  })
  return [...scores]
    .sort((a, b) => b[1] - a[1])
    .slice(0, most)
    .map(([found]) => found)
}
