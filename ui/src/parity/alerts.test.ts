import { describe, expect, it } from 'vitest'
import type { Target } from '../api/member.ts'
import type { Tree, TreeNode } from '../api/tree.ts'
import { planetAlerts, tierSince, tiersToAsk, type Sample } from './alerts.ts'
import { pools } from './targets.ts'

describe('alerts of the planet', () => {
  it('know since when they are active, and firing ones come first', () => {
    const labels = { alertname: 'Down', zone: 'eu', job: 'a' }
    const got = planetAlerts(
      [
        { metric: { __name__: 'ALERTS', alertstate: 'pending', alertname: 'Slow' }, value: [1, '1'] },
        { metric: { __name__: 'ALERTS', alertstate: 'firing', ...labels }, value: [1, '1'] },
      ],
      [{ metric: { ...labels, __name__: 'ALERTS_FOR_STATE' }, value: [1, '1700'] }],
    )
    expect(got.map((a) => [a.name, a.state, a.activeAt, a.labels])).toEqual([
      ['Down', 'firing', 1700000, { zone: 'eu', job: 'a' }],
      ['Slow', 'pending', undefined, {}],
    ])
  })

  it('of zones and the root know it too, from the earliest of replicas', () => {
    const node = (tier: 'zone' | 'root', name: string, state: TreeNode['state']): TreeNode => ({
      name,
      tier,
      state,
      series: 0,
      samples: 0,
      leaves: 1,
      ...(tier === 'zone' && { labels: { zone: 'eu' } }),
    })
    const tree: Tree = {
      self: node('root', 'root', 'self'),
      children: [node('zone', 'eu-a', 'connected'), node('zone', 'eu-b', 'connected'), node('zone', 'us', 'missing')],
    }
    const series = (name: string, labels: Record<string, string>): Sample => ({
      metric: { __name__: name, alertstate: 'firing', alertname: 'Slow', ...labels },
      value: [1, '1'],
    })
    const alerts = [series('zone:ALERTS', { zone: 'eu', job: 'a' }), series('ALERTS', { zone: 'eu', job: 'a' })]
    const asked = tiersToAsk(alerts, tree)
    expect(asked.map((t) => t.member)).toEqual(['eu-a', 'eu-b'])
    expect(tiersToAsk([series('root:ALERTS', {})], tree).map((t) => t.member)).toEqual([''])
    const own = (activeAt: string) => [
      { labels: { alertname: 'Slow', job: 'a' }, annotations: {}, state: 'firing' as const, activeAt, value: '1' },
    ]
    const since = tierSince([
      { node: asked[0]?.node as TreeNode, alerts: own('1970-01-01T00:30:00.5Z') },
      { node: asked[1]?.node as TreeNode, alerts: own('1970-01-01T00:31:00Z') },
    ])
    // That of the leaf is another alert, though its labels are the same.
    expect(planetAlerts(alerts, since).map((a) => a.activeAt)).toEqual([1800500, undefined])
  })
})

describe('targets', () => {
  const target = (scrapePool: string, scrapeUrl: string, health: Target['health'], lastError = '') =>
    ({ scrapePool, scrapeUrl, health, lastError, labels: { job: scrapePool } }) as Partial<Target> as Target
  const all = [
    target('a', 'http://1', 'up'),
    target('b', 'http://2', 'up'),
    target('b', 'http://3', 'down', 'connection refused'),
  ]

  it('that fail come first, and so do their pools', () => {
    const got = pools(all, '', 'all')
    expect(got.map((p) => [p.name, p.up, p.targets.map((t) => t.scrapeUrl)])).toEqual([
      ['b', 1, ['http://3', 'http://2']],
      ['a', 1, ['http://1']],
    ])
  })
  it('are found by label and error', () =>
    expect(pools(all, 'job=b REFUSED', 'all').flatMap((p) => p.targets)).toHaveLength(1))
  it('that a filter leaves do not stand for their pool', () =>
    expect(pools(all, '', 'down').map((p) => [p.name, p.targets.length, p.up, p.of])).toEqual([['b', 1, 1, 2]]))
  it('are chosen by health', () => expect(pools(all, '', 'down').map((p) => p.name)).toEqual(['b']))
})
