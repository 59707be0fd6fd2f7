import { describe, expect, it } from 'vitest'
import { commitsOf, withCommits, type Tree, type TreeNode } from './tree.ts'

const leaf = (zone: string, cluster: string, revision?: string): TreeNode => ({
  name: `zone=${zone},cluster=${cluster}`,
  tier: 'leaf',
  labels: { zone, cluster },
  state: 'connected',
  series: 0,
  samples: 0,
  leaves: 1,
  ...(revision && { revision }),
})

const tree = (...leaves: TreeNode[]): Tree => ({
  self: { name: 'root', tier: 'root', state: 'self', series: 0, samples: 0, leaves: leaves.length },
  at: '2026-01-01T00:00:00Z',
  children: [{ name: 'zone=eu', tier: 'zone', state: 'connected', series: 0, samples: 0, leaves: 1, children: leaves }],
})

describe('revisions of leaves', () => {
  const commits = commitsOf({
    clusters: [
      { zone: 'eu', cluster: 'a', revision: 'c1' },
      { zone: 'eu', cluster: 'b', revision: 'c1' },
    ],
  })
  const revisions = (t: Tree) => t.children[0]?.children?.map((n) => n.revision)

  it('are the commits of their clusters, equal where what is loaded differs', () =>
    expect(revisions(withCommits(tree(leaf('eu', 'a', 'x'), leaf('eu', 'b', 'y')), commits))).toEqual(['c1', 'c1']))
  it('are not told where no loop tells, or nothing is loaded', () =>
    expect(revisions(withCommits(tree(leaf('us', 'a', 'x'), leaf('eu', 'b')), commits))).toEqual([
      undefined,
      undefined,
    ]))
  it('are not told before the commits are known', () =>
    expect(revisions(withCommits(tree(leaf('eu', 'a', 'x')), undefined))).toEqual([undefined]))
})
