import { describe, expect, it } from 'vitest'
import type { Tree, TreeNode } from '../api/tree.ts'
import { frameHealth, treeHealth } from './Header.tsx'

const node = (name: string, state: TreeNode['state'], children: TreeNode[] = []): TreeNode => ({
  name,
  tier: children.length ? 'zone' : 'leaf',
  state,
  series: 0,
  samples: 0,
  leaves: 1,
  children,
})

const tree = (tier: TreeNode['tier'], leaves: number, children: TreeNode[]): Tree => ({
  self: { name: tier, tier, state: 'self', series: 0, samples: 0, leaves },
  children,
})

describe('the health of the tree', () => {
  it('tells of a leaf that is missing two tiers down', () => {
    const t = tree('root', 1, [node('eu', 'connected', [node('eu-1', 'connected'), node('eu-2', 'missing')])])
    expect(treeHealth(t)).toEqual({ level: 'bad', text: '1 missing', to: '/leaves?state=missing' })
  })
  it('tells of a zone that is connected and does not answer', () => {
    const hung = { ...node('eu', 'connected'), tier: 'zone' as const, error: 'no answer within 2s' }
    expect(treeHealth(tree('root', 3, [node('us', 'connected', [node('us-1', 'connected')]), hung]))).toEqual({
      level: 'bad',
      text: '1 silent',
      to: '/leaves?state=untold',
    })
    expect(treeHealth(tree('root', 3, [node('us-1', 'missing'), hung]))).toEqual({
      level: 'bad',
      text: '1 missing, 1 silent',
      to: '/leaves?state=problems',
    })
  })
  it('does not call a tree without leaves healthy', () => expect(treeHealth(tree('root', 0, [])).level).toBe('off'))
  it('counts leaves', () =>
    expect(treeHealth(tree('root', 3, [node('eu', 'connected')]))).toMatchObject({ level: 'good', text: '3 leaves' }))
  it('is about the leaf itself on a leaf', () =>
    expect(treeHealth(tree('leaf', 1, []))).toMatchObject({ level: 'good', text: 'up' }))
})

describe('the frame', () => {
  const came = (took: number) => ({ ...tree('root', 3, [node('eu', 'connected')]), came: 100_000, took })
  it('says how old the tree is once another one is overdue', () => {
    expect(frameHealth(came(20), false, 109_000)).toEqual({
      level: 'good',
      text: '3 leaves',
      to: '/planet',
    })
    expect(frameHealth(came(20), false, 112_000)).toMatchObject({ level: 'warn', text: '3 leaves', old: '12s old' })
  })
  it('waits longer for a tree that takes long', () =>
    expect(frameHealth(came(1000), false, 120_000)).toMatchObject({ level: 'good' }))
  it('says that the tier is unreachable, and since when nothing is known', () =>
    expect(frameHealth(came(20), true, 130_000)).toMatchObject({ level: 'bad', text: 'unreachable', old: '30s old' }))
})
