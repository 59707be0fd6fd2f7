import { describe, expect, it } from 'vitest'
import type { Target } from '../api/member.ts'
import { planetAlerts } from './alerts.ts'
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
