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
  const scored: { name: string; score: number }[] = []
  walk(tree.children, (n) => {
    const parts = n.name.toLowerCase().split(/[=,/ ]+/)
    const score = words.filter((w) => parts.includes(w)).length
    if (score > 0) scored.push({ name: n.name, score })
  })
  return scored
    .sort((a, b) => b.score - a.score)
    .slice(0, most)
    .map((s) => s.name)
}
