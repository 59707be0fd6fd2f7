import { describe, expect, it } from 'vitest'
import type { Edge, Explanation } from '../api/explain.ts'
import type { Tree, TreeNode } from '../api/tree.ts'
import { coverage, rowsOf } from './coverage.ts'

const node = (name: string, tier: TreeNode['tier'], children: TreeNode[] = []): TreeNode => ({
  name,
  tier,
  state: 'connected',
  series: 0,
  samples: 0,
  leaves: children.length || 1,
  children,
})

const tree: Tree = {
  self: { ...node('root', 'root'), state: 'self', leaves: 6 },
  children: ['eu', 'us'].map((z) =>
    node(
      z,
      'zone',
      [1, 2, 3].map((i) => node(`${z}-${i}`, 'leaf')),
    ),
  ),
}

const edge = (child: string, tier: string, verdict: Edge['verdict'], more: Partial<Edge> = {}): Edge => ({
  child,
  tier,
  verdict,
  ...more,
})

const plan = (children: Edge[], more: Partial<Explanation> = {}): Explanation => ({
  name: 'root',
  tier: 'root',
  query: 'up',
  start: 0,
  end: 0,
  step: 0,
  series: 0,
  samples: 0,
  fragments: [{ id: '0', kind: 'concat', query: 'up', start: 0, end: 0, step: 0, children }],
  ...more,
})

const evaluated = { evaluated: true, tier: 'root', missing: [], tree }

describe('how whole an answer is', () => {
  const below = plan([
    edge('eu-1', 'leaf', 'asked'),
    edge('eu-2', 'leaf', 'asked'),
    edge('eu-3', 'leaf', 'pruned-hint'),
  ])
  const rows = rowsOf(
    plan([edge('eu', 'zone', 'asked', { below }), edge('us', 'zone', 'pruned-label', { evidence: 'zone="eu"' })]),
  )

  it('counts the leaves below a zone that was pruned', () => {
    const c = coverage(rows, evaluated)
    expect(c).toMatchObject({ level: 'good', headline: 'This answer is whole: 6 leaves, 2 asked, 4 pruned' })
    expect(c.details).toEqual([
      'Pruned 1 by field hint, 3 by identity label: no series of theirs can match, so nothing is missing.',
    ])
  })

  it('names who did not answer, first of all', () => {
    const missing = [
      { name: 'eu-2', tier: 'leaf', reason: 'connection lost' },
      { name: 'eu-1', tier: 'leaf', reason: 'soft deadline passed', late: true },
    ]
    const c = coverage(rows, { ...evaluated, missing })
    expect(c.level).toBe('bad')
    expect(c.headline).toBe(
      'PARTIAL: leaf eu-2 did not answer: connection lost, and 1 more (6 leaves, 2 asked, 4 pruned)',
    )
    expect(c.details[0]).toBe('leaf eu-1: soft deadline passed (late)')
  })

  it('does not call a plan an answer, and says who is away', () => {
    const dark = structuredClone(tree)
    const leaf = dark.children[0]?.children?.[1]
    if (leaf) leaf.state = 'missing'
    const c = coverage(rows, { ...evaluated, evaluated: false, tree: dark })
    expect(c).toMatchObject({ level: 'warn', headline: 'Plan: 6 leaves, 2 to be asked, 4 pruned' })
    expect(c.details[0]).toMatch('Not connected now: leaf eu-2.')
  })

  it('says of how many leaves nothing is told', () => {
    const c = coverage(rowsOf(plan([edge('eu', 'zone', 'asked', { below })])), evaluated)
    expect(c.headline).toBe('This answer is whole: 6 leaves, 2 asked, 1 pruned')
    expect(c.details.at(-1)).toMatch(/^3 leaves are not told of/)
  })

  it('counts leaves below a zone that failed as asked', () => {
    const all = rowsOf(plan([edge('eu', 'zone', 'asked', { failed: 'gone' }), edge('us', 'zone', 'pruned-label')]))
    const c = coverage(all, { ...evaluated, missing: [{ name: 'eu', tier: 'zone', reason: 'gone' }] })
    expect(c.headline).toBe('PARTIAL: zone eu did not answer: gone (6 leaves, 3 asked, 3 pruned)')
  })

  it('counts pruned children where they are not named', () => {
    const named = rowsOf(plan([edge('eu', 'zone', 'asked', { below: plan([edge('eu-1', 'leaf', 'asked')]) })]))
    const c = coverage(named, { ...evaluated, pruned: { label: 1, time: 0, hint: 2 } })
    expect(c.headline).toBe('This answer is whole: 1 leaf asked, 3 children pruned')
    expect(c.details).toEqual(['Pruned 2 by field hint, 1 by identity label; how many leaves that are is not kept.'])
  })

  it('says of a leaf that it answers by itself', () => {
    expect(coverage([], { ...evaluated, tier: 'leaf', tree: undefined }).headline).toBe(
      'This answer is whole: the leaf answers by itself',
    )
  })
})

describe('the rows of an explanation', () => {
  it('a child that one fragment asks is asked, whatever others say', () => {
    const x = plan([edge('eu', 'zone', 'asked', { series: 2 })])
    x.fragments?.push({
      id: '1',
      kind: 'concat',
      query: 'b',
      start: 0,
      end: 0,
      step: 0,
      children: [edge('eu', 'zone', 'pruned-hint')],
    })
    expect(rowsOf(x)).toEqual([{ name: 'eu', tier: 'zone', verdict: 'asked', requests: 1, series: 2, samples: 0 }])
  })
  it('leaves guards out: they read nothing of the answer', () => {
    const x = plan([edge('eu', 'zone', 'asked')])
    if (x.fragments?.[0]) x.fragments[0].kind = 'guard'
    expect(rowsOf(x)).toEqual([])
  })
})
