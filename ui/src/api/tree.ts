import { useQuery } from '@tanstack/react-query'
import { askPlain, pollTimeout } from './client.ts'

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
  /** When samples may have been missed since mint. */
  gaps?: Gap[]
  /** The revision of the configuration in effect. */
  revision?: string
  /** The last attempt to load a configuration failed: revision is an older one. */
  reloadFailed?: boolean
  /** Whether its own API can be asked through this tier; if not, unreadable says why in a word. */
  readable?: boolean
  unreadable?: string
  children?: TreeNode[]
}

/** A span of time, in RFC3339; one without an end is not over. */
export interface Gap {
  start: string
  end?: string
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
  /** When it was answered, by the clock of the tier that did; by this machine's if that does not tell. */
  at?: string
  self: TreeNode
  parents?: Parent[]
  children: TreeNode[]
  refused?: Refusal[]
  /** Milliseconds from asking for it to having it; noted here, and not told by the tier. */
  took?: number
  /** When it came, in milliseconds since the epoch by this machine's clock, which may differ from that of at. */
  came?: number
}

/** A tier above. */
export interface Parent {
  address: string
  name?: string
  state: string
  since?: string
  error?: string
  /** How far it has come with this tier's field hints, in bytes and seconds; unused says why it does not use them. */
  hints?: { unacknowledgedBytes: number; unacknowledgedAge: number; unused?: string }
}

/** A registration that was refused. */
export interface Refusal {
  name: string
  remote: string
  reason: string
  at: string
}

/** How often the tree is asked for anew, in milliseconds. */
export const treeInterval = 5000

// Of the time that a person watches, at most a tenth is spent on asking: a tree that takes long is asked for less often.
const mostAsking = 10
const longestInterval = 60_000

/** Milliseconds until a tree is asked for anew that took so many to come. */
export function intervalOf(took: number | undefined): number {
  return Math.min(longestInterval, Math.max(treeInterval, mostAsking * (took ?? 0)))
}

/** Seconds since a tree came if that is so long that newer ones must be overdue; undefined if it is fresh. */
export function overdue(tree: Tree, now: number): number | undefined {
  const passed = now - (tree.came ?? now)
  return passed > 2 * intervalOf(tree.took) + (tree.took ?? 0) ? passed / 1000 : undefined
}

/** The live tree, asked for anew while the page is visible. The revisions of leaves are commits, where control loops tell them. */
export function useTree() {
  const tree = useQuery({
    queryKey: ['tree'],
    queryFn: ({ signal }) => askTree(signal),
    refetchInterval: (q) => intervalOf(q.state.data?.took),
    // Comparing ten thousand leaves with those of five seconds ago costs more than drawing them: all have changed.
    structuralSharing: false,
    notifyOnChangeProps: ['data', 'error', 'isPending'],
  })
  const commits = useQuery({
    queryKey: ['commits'],
    queryFn: async ({ signal }) =>
      commitsOf(await askPlain<Delivered>('/pando/api/v1/config', {}, { signal, timeout: pollTimeout })),
    enabled: tree.data !== undefined && delivered(tree.data),
    refetchInterval: 3 * treeInterval,
    staleTime: 2 * treeInterval,
    retry: false,
  })
  return { ...tree, data: tree.data && committed(tree.data, commits.data) }
}

// Several parts of a page use the tree; it is gone through once for all of them.
const deliveries = new WeakMap<Tree, boolean>()
const copies = new WeakMap<Tree, { commits: Map<string, string> | undefined; tree: Tree }>()

function delivered(tree: Tree): boolean {
  const known = deliveries.get(tree)
  if (known !== undefined) return known
  const found = leavesOf(tree).some((n) => n.revision)
  deliveries.set(tree, found)
  return found
}

function committed(tree: Tree, commits: Map<string, string> | undefined): Tree {
  const made = copies.get(tree)
  if (made && made.commits === commits) return made.tree
  const copy = withCommits(tree, commits)
  copies.set(tree, { commits, tree: copy })
  return copy
}

/** What /pando/api/v1/config tells of the clusters below. */
interface Delivered {
  clusters: { cluster: string; zone?: string; revision: string }[] | null
}

const place = (zone: string | undefined, cluster: string) => JSON.stringify([zone ?? '', cluster])

/** The commit that each cluster runs, as its control loop tells. */
export function commitsOf(d: Delivered): Map<string, string> {
  return new Map((d.clusters ?? []).map((c) => [place(c.zone, c.cluster), c.revision]))
}

/**
 * The tree with commits for revisions. What a leaf itself tells names the content that it has loaded, which differs from
 * cluster to cluster: it can say that a leaf has a configuration, and not whether two have the same. So where its commit
 * is not known, a leaf has none.
 */
export function withCommits(tree: Tree, commits: Map<string, string> | undefined): Tree {
  // Nodes that stay as they are are not copied: on most planets that is all of them, or none.
  const node = (n: TreeNode): TreeNode => {
    const children = n.children && all(n.children)
    if (!n.revision && children === n.children) return n
    const cluster = n.labels?.cluster
    const commit = n.revision && cluster ? commits?.get(place(n.labels?.zone, cluster)) : undefined
    const out = { ...n, revision: commit }
    if (children) out.children = children
    return out
  }
  const all = (list: TreeNode[]): TreeNode[] => {
    const out = list.map(node)
    return out.some((n, i) => n !== list[i]) ? out : list
  }
  const self = node(tree.self)
  const children = all(tree.children)
  return self === tree.self && children === tree.children ? tree : { ...tree, self, children }
}

async function askTree(signal: AbortSignal): Promise<Tree> {
  const begun = performance.now()
  const tree = await askPlain<Tree>('/pando/api/v1/tree', {}, { signal, timeout: pollTimeout })
  tree.at ??= new Date().toISOString()
  tree.took = performance.now() - begun
  tree.came = Date.now()
  return tree
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
