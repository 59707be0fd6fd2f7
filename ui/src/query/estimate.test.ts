import { describe, expect, it } from 'vitest'
import type { Tree, TreeNode } from '../api/tree.ts'
import { estimate, warnings, type Plan } from './estimate.ts'

const node = (name: string, children: TreeNode[] = []): TreeNode => ({
  name,
  tier: children.length ? 'zone' : 'leaf',
  state: 'connected',
  series: 600_000,
  samples: 0,
  leaves: children.length || 1,
  children,
})
const tree: Tree = {
  self: { ...node('root'), tier: 'root', leaves: 5 },
  children: [node('eu', [node('eu-1'), node('eu-2')]), node('us', [node('us-1'), node('us-2'), node('us-3')])],
}

type Edge = NonNullable<NonNullable<Plan['fragments']>[0]['children']>[0]
const edge = (child: string, verdict: Edge['verdict'], below?: Plan): Edge => ({
  child,
  tier: 'zone',
  verdict,
  ...(below && { below }),
})
const plan = (kind: string, query: string, children: Edge[]): Plan => ({
  name: 'root',
  tier: 'root',
  fragments: [{ kind, query, children }],
})

describe('an estimate', () => {
  it('counts leaves, those below a zone that is not asked as well', () => {
    const below = plan('concat', 'up', [edge('eu-1', 'asked'), edge('eu-2', 'pruned-hint')])
    const e = estimate(plan('concat', 'up', [edge('eu', 'asked', below), edge('us', 'pruned-label')]), tree)
    expect([e.leaves, e.asked, e.pruned]).toEqual([5, 1, { hint: 1, label: 3, time: 0, rollup: 0 }])
    expect(e.pushed).toEqual(['up'])
  })
  it('takes the tree for what a child does not tell of its leaves', () =>
    expect(estimate(plan('concat', 'up', [edge('us', 'asked')]), tree).asked).toBe(3))
  it('counts a leaf that one fragment asks as asked', () => {
    const two = plan('concat', 'a', [edge('eu', 'pruned-hint'), edge('us', 'pruned-hint')])
    two.fragments?.push({ kind: 'raw', query: 'b', children: [edge('eu', 'asked')] })
    const e = estimate(two, tree)
    expect([e.asked, e.pruned.hint, e.rawSeries]).toEqual([2, 3, 1_200_000])
  })
})

describe('what an estimate does not know', () => {
  it('is not taken for none: leaves of a zone that the tree has lost are leaves', () => {
    const below = plan('concat', 'up', [edge('eu-1', 'asked'), edge('eu-2', 'asked')])
    const e = estimate(plan('concat', 'up', [edge('eu', 'asked', below)]), { ...tree, children: [] })
    expect([e.asked, e.leaves]).toEqual([2, 2])
  })
  it('is said: who did not answer, and whose plan is cut short', () => {
    const silent = plan('concat', 'up', [{ ...edge('eu', 'asked'), failed: 'late' }, edge('us', 'asked')])
    expect(estimate({ ...silent, truncated: '9 rows' }, tree).untold).toEqual(['root', 'eu'])
  })
  it('does not count what a tier holds itself as a leaf', () =>
    expect(estimate(plan('concat', 'zone:up', [{ ...edge('root', 'asked'), tier: 'rollups' }]), tree).asked).toBe(0))
})

describe('warnings', () => {
  const of = (kind: string, query: string, steps = 1) =>
    warnings(estimate(plan(kind, query, [edge('eu', 'asked')]), tree), steps)
  it('are none of what is pushed down', () => expect(of('partial sum', 'sum(up{a="{}"})', 5000)).toEqual([]))
  it.each([
    ['concat', 'count({a="b"})', 1, /without a metric name/],
    ['concat', 'sum({__name__=~"a.*"})', 1, /without a metric name/],
    ['raw', 'up', 1, /Raw series are pulled instead/],
    ['concat', 'up', 11_001, /refused/],
  ])('of %s %s', (kind, query, steps, want) => expect(of(kind, query, steps).join()).toMatch(want))
  it.each(['{"my metric", a="b"}', '{__name__="x"}', 'x{a=~".+"}', '{a="b", "my metric"}'])(
    'know the name in %s',
    (q) => expect(of('concat', q)).toEqual([]),
  )

  it('takes a part that nobody is asked for', () =>
    expect(
      estimate({ name: 'root', tier: 'root', fragments: [{ kind: 'concat', query: 'up', children: null }] }, tree)
        .asked,
    ).toBe(0))
})
