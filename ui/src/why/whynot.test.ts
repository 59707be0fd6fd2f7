import { describe, expect, it } from 'vitest'
import type { Edge, Explanation, Fragment } from '../api/explain.ts'
import type { Tree, TreeNode } from '../api/tree.ts'
import { findLeaf, follow, reached } from './whynot.ts'

const tier = (name: string, kind: string, fragments: Fragment[]): Explanation => ({
  name,
  tier: kind,
  query: 'q',
  start: 0,
  end: 0,
  step: 0,
  series: 0,
  samples: 0,
  fragments,
})
const fragment = (query: string, children: Edge[], kind = 'concat'): Fragment => ({
  id: '0',
  kind,
  query,
  start: 0,
  end: 0,
  step: 0,
  children,
})
const asked = (child: string, kind: string, more: Partial<Edge> = {}): Edge => ({
  child,
  tier: kind,
  verdict: 'asked',
  ...more,
})

describe('the way to a leaf', () => {
  const path = ['eu', 'eu-1']
  const say = (x: Explanation, p = path) => follow(x, p).map((f) => `${f.query}: ${f.by} ${f.text}`)

  it('ends where it was pruned, with the evidence', () => {
    const x = tier('root', 'root', [
      fragment('a', [{ child: 'eu', tier: 'zone', verdict: 'pruned-label', evidence: 'zone="us"' }]),
      fragment('b', [
        asked('eu', 'zone', {
          below: tier('eu', 'zone', [
            fragment('b', [{ child: 'eu-1', tier: 'leaf', verdict: 'pruned-hint', evidence: 'job="x"' }]),
          ]),
        }),
      ]),
    ])
    expect(say(x)).toEqual([
      'a: root did not ask zone eu, by identity label: zone="us"',
      'b: zone eu did not ask leaf eu-1, by field hint: job="x"',
    ])
    expect(reached(follow(x, path), 'eu-1')).toBe(false)
  })

  it('ends at the leaf that was asked, and tells the same once', () => {
    const below = tier('eu', 'zone', [fragment('a', [asked('eu-1', 'leaf', { series: 3 })])])
    const x = tier('root', 'root', [
      fragment('a', [asked('eu', 'zone', { below })]),
      fragment('a', [asked('eu', 'zone', { below })]),
      fragment('g', [], 'guard'),
    ])
    expect(say(x)).toEqual(['a: zone eu asks it'])
    expect(reached(follow(x, path), 'eu-1')).toBe(true)
  })

  it('ends at what failed; a failed leaf was asked, a leaf below a failed zone was not', () => {
    const zone = tier('root', 'root', [fragment('a', [asked('eu', 'zone', { failed: 'gone' })])])
    expect(say(zone)).toEqual(['a: root asked zone eu, which failed: gone'])
    expect(reached(follow(zone, path), 'eu-1')).toBe(false)
    const leaf = tier('eu', 'zone', [fragment('a', [asked('eu-1', 'leaf', { failed: 'late' })])])
    expect(reached(follow(leaf, ['eu-1']), 'eu-1')).toBe(true)
  })

  it('says so where a tier does not tell', () => {
    expect(say(tier('root', 'root', [fragment('a', [asked('eu', 'zone')])]))).toEqual([
      'a: root asks zone eu, which does not explain itself',
    ])
    expect(
      say(tier('root', 'root', [fragment('a', [asked('eu/replica=b', 'zone')])]), ['eu/replica=a', 'eu-1']),
    ).toEqual(['a: root considers another replica in its place: eu/replica=b'])
    expect(say(tier('root', 'root', [fragment('a', [])]))).toEqual(['a: root does not tell of eu'])
  })
})

describe('a leaf by its name', () => {
  const node = (name: string, kind: TreeNode['tier'], children: TreeNode[] = []): TreeNode => ({
    name,
    tier: kind,
    state: 'connected',
    series: 0,
    samples: 0,
    leaves: 1,
    children,
  })
  const tree: Tree = {
    self: node('root', 'root'),
    children: [node('eu', 'zone', [node('eu-1', 'leaf'), node('eu-11', 'leaf')])],
  }
  it.each([
    ['eu-1', ['eu-1']],
    ['11', ['eu-11']],
    ['eu', ['eu-1', 'eu-11']],
    ['us', []],
  ])('%s', (name, want) => expect(findLeaf(tree, name).map((p) => p.node.name)).toEqual(want))
  it('has the names of all above', () => expect(findLeaf(tree, '11')[0]?.path).toEqual(['eu', 'eu-11']))
})
