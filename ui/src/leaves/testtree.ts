import type { Tree, TreeNode } from '../api/tree.ts'

/** When the trees of tests were told. */
export const at = '2026-11-22T16:00:00Z'

const before = (seconds: number) => new Date(Date.parse(at) - seconds * 1000).toISOString()

/** A connected leaf of a zone whose newest sample is two seconds old. */
export function leaf(zone: string, cluster: string, more: Partial<TreeNode> = {}): TreeNode {
  return {
    name: `zone=${zone},cluster=${cluster}`,
    tier: 'leaf',
    labels: { zone, cluster },
    version: '1.4.0',
    state: 'connected',
    series: 1000,
    samples: 5000,
    sampleRate: 100,
    mint: before(3600),
    maxt: before(2),
    leaves: 1,
    hint: { synced: true, fingerprints: 10, bytes: 100, age: 1, falsePositiveRate: 0.01 },
    ...more,
  }
}

/** A connected zone with these members. */
export function zone(name: string, children: TreeNode[], more: Partial<TreeNode> = {}): TreeNode {
  return {
    name: `zone=${name}`,
    tier: 'zone',
    labels: { zone: name },
    state: 'connected',
    series: 0,
    samples: 0,
    maxt: before(1),
    leaves: children.filter((c) => c.state === 'connected').length,
    children,
    ...more,
  }
}

/** A root over these members. */
export function root(children: TreeNode[]): Tree {
  return {
    at,
    self: {
      name: 'root',
      tier: 'root',
      state: 'self',
      series: 0,
      samples: 0,
      leaves: children.reduce((a, c) => a + c.leaves, 0),
    },
    children,
  }
}

/** So many seconds before at. */
export { before }
