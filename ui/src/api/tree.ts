import { useQuery } from '@tanstack/react-query'
import { askPlain } from './client.ts'

/** A tier of the tree, as /pando/api/v1/tree tells it; docs/api.md and querytree/treehttp/tree.go describe the fields. */
export interface TreeNode {
  name: string
  tier: 'leaf' | 'zone' | 'root'
  labels?: Record<string, string>
  shard?: string
  replica?: string
  version?: string
  state: 'self' | 'connected' | 'missing'
  /** RFC3339. */
  since?: string
  error?: string
  /** Series in the head and samples since start, of all leaves below. */
  series: number
  samples: number
  /** Samples a second. */
  sampleRate?: number
  /** RFC3339: the oldest and the newest sample. */
  mint?: string
  maxt?: string
  leaves: number
  /** Seconds. */
  rtt?: number
  hint?: TreeHint
  gaps?: { from: string; to: string; reason?: string }[]
  /** The revision of the configuration in effect. */
  revision?: string
  children?: TreeNode[]
}

export interface TreeHint {
  synced: boolean
  fingerprints: number
  bytes: number
  /** Seconds since the latest update. */
  age: number
  falsePositiveRate: number
  reason?: string
}

export interface Tree {
  self: TreeNode
  parents?: { address: string; name?: string; state: string; since?: string; error?: string }[]
  children: TreeNode[]
  refused?: { name?: string; address?: string; time?: string; reason?: string }[]
}

/** How often the tree is asked for anew, in milliseconds. */
export const treeInterval = 5000

/** The live tree, asked for anew while the page is visible. */
export function useTree() {
  return useQuery({
    queryKey: ['tree'],
    queryFn: ({ signal }) => askPlain<Tree>('/pando/api/v1/tree', {}, { signal }),
    refetchInterval: treeInterval,
  })
}

/** Calls f for each node with the nodes above it, parents before their children. */
export function walk(nodes: TreeNode[], f: (n: TreeNode, above: TreeNode[]) => void, above: TreeNode[] = []): void {
  for (const n of nodes) {
    f(n, above)
    if (n.children) walk(n.children, f, [...above, n])
  }
}

/** All leaves below, the tier itself if it is one. */
export function leavesOf(tree: Tree): TreeNode[] {
  if (tree.self.tier === 'leaf') return [tree.self]
  const leaves: TreeNode[] = []
  walk(tree.children, (n) => {
    if (n.tier === 'leaf') leaves.push(n)
  })
  return leaves
}
