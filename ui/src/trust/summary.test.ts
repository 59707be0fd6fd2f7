import { describe, expect, it } from 'vitest'
import type { ChildRow, PandoStats } from '../api/stats.ts'
import type { Tree, TreeNode } from '../api/tree.ts'
import { cacheText, prunedText, shortName, trust } from './summary.ts'

const leaf = (name: string, maxt: string): TreeNode => ({
  name,
  tier: 'leaf',
  state: 'connected',
  series: 0,
  samples: 0,
  leaves: 1,
  maxt,
})
const tree: Tree = {
  // By the tier's clock, whatever this machine's says.
  at: '2026-11-22T16:00:10Z',
  self: { ...leaf('root', ''), tier: 'root', leaves: 3 },
  children: [
    {
      ...leaf('eu', ''),
      tier: 'zone',
      leaves: 2,
      children: [leaf('eu-1', '2026-11-22T16:00:05Z'), leaf('eu-2', '2026-11-22T16:00:01Z')],
    },
    { ...leaf('us', ''), tier: 'zone', leaves: 1, children: [leaf('us-1', '2026-11-22T15:00:00Z')] },
  ],
}
const row = (name: string, rest: Partial<ChildRow>): ChildRow => ({
  name,
  tier: 'leaf',
  verdict: 'asked',
  requests: 1,
  series: 0,
  samples: 0,
  ...rest,
})
const stats = (children: ChildRow[], failed: PandoStats['failed'] = []) =>
  ({ complete: failed.length === 0, children, failed }) as unknown as PandoStats

describe('trust', () => {
  it('is whole if nothing is missing, and as fresh as the leaf furthest behind of those asked', () => {
    const t = trust(
      stats([row('eu-1', { time: 1 }), row('eu-2', { time: 2 }), row('us', { tier: 'zone', verdict: 'pruned-label' })]),
      undefined,
      [],
      tree,
    )
    expect(t.whole).toBe(true)
    expect(t.counts).toMatchObject({ asked: 2, label: 1 })
    expect(t.leaves).toBe(3)
    expect(t.slowest?.name).toBe('eu-2')
    expect(t.freshness).toEqual({ at: Date.parse('2026-11-22T16:00:01Z'), leaf: 'eu-2', behind: 9 })
  })
  it('is of all leaves, also of one that is missing and was asked', () => {
    const gone = { ...leaf('us-2', ''), state: 'missing', leaves: 0 } as TreeNode
    const missing = { ...tree, children: [...tree.children, gone] }
    const rows = [row('eu-1', {}), row('eu-2', {}), row('us-1', {}), row('us-2', { failed: 'not connected' })]
    const t = trust(stats(rows, [{ name: 'us-2', reason: 'not connected' }]), undefined, [], missing)
    expect([t.counts.asked, t.leaves]).toEqual([4, 4])
  })
  it('is not whole if a child failed, or a warning says so', () => {
    const t = trust(
      stats([row('eu-1', {}), row('eu-2', { failed: 'x', late: true })], [{ name: 'eu-2', reason: 'x', late: true }]),
      undefined,
      [],
      tree,
    )
    expect([t.whole, t.missing.map((m) => m.name), t.counts.late]).toEqual([false, ['eu-2'], 1])
    expect(t.freshness?.leaf).toBe('eu-1')
    expect(trust(undefined, undefined, ['partial answer: leaf "a" did not answer: x'], undefined).whole).toBe(false)
    expect(trust(stats([]), undefined, ['partial answer: leaf "a" did not answer: x'], tree).whole).toBe(false)
  })
  it('counts the leaves of a zone that did not answer as asked, once', () => {
    const zone = row('eu', { tier: 'zone', failed: 'late', late: true })
    const of = (...rows: ChildRow[]) => trust(stats(rows), undefined, [], tree).counts
    expect(of(zone, row('us-1', {}))).toMatchObject({ asked: 3, failed: 2, late: 2 })
    expect(of(zone, row('eu-1', {})).asked).toBe(2)
  })
  it('is not told by answers without statistics', () =>
    expect(trust(undefined, undefined, [], tree).whole).toBeUndefined())
  it('on a leaf is as fresh as itself', () =>
    expect(
      trust(stats([]), undefined, [], { self: leaf('eu-1', '2026-11-22T16:00:05Z'), children: [] }).freshness?.leaf,
    ).toBe('eu-1'))
})

describe('words', () => {
  it('of pruning', () =>
    expect(prunedText({ asked: 1, failed: 0, late: 0, hint: 2, label: 1, time: 0, rollup: 0 })).toBe('2 hint, 1 label'))
  it.each([
    [undefined, ''],
    [{ state: 'hit', steps: 5, cached: 5 }, 'all from cache'],
    [{ state: 'partial', steps: 240, cached: 200 }, 'from cache 200 of 240 steps'],
    [{ state: 'miss' }, ''],
    [{ state: 'not used: the request says so' }, ''],
  ])('of the cache: %j', (use, want) => expect(cacheText(use)).toBe(want))
  it.each([
    ['zone=eu,cluster=eu-1', 'eu-1'],
    ['zone=eu', 'eu'],
    ['root', 'root'],
    ['zone=eu,cluster=eu-1/replica=a', 'eu-1/a'],
    ['zone=eu,cluster=eu-1/shard=0/replica=b', 'eu-1/0/b'],
  ])('of %s', (name, want) => expect(shortName(name)).toBe(want))
})
