import { describe, expect, it } from 'vitest'
import { commitsOf, intervalOf, treeInterval, withCommits, type Tree, type TreeNode } from './tree.ts'

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

describe('a tree of which no leaf has a configuration', () => {
  it('is not copied', () => {
    const t = tree(leaf('eu', 'a'), leaf('eu', 'b'))
    expect(withCommits(t, undefined)).toBe(t)
  })
  it('keeps the leaves that have none, where others have one', () => {
    const t = tree(leaf('eu', 'a', 'x'), leaf('eu', 'b'))
    const copy = withCommits(t, undefined)
    expect(copy.children[0]?.children?.[1]).toBe(t.children[0]?.children?.[1])
    expect(t.children[0]?.children?.[0]?.revision).toBe('x')
  })
})

describe('the time until a tree is asked for anew', () => {
  it.each([
    [undefined, treeInterval],
    [80, treeInterval],
    [1200, 12_000],
    [50_000, 60_000],
  ])('after one that took %s ms', (took, ms) => expect(intervalOf(took)).toBe(ms))
})
