import { describe, expect, it } from 'vitest'
import { ApiError } from '../api/client.ts'
import { unreadable } from '../api/below.ts'
import { leaf, root, zone } from '../leaves/testtree.ts'
import { findMember, similar } from './found.ts'
import { failingFirst, identityMatchers, pools, ruleSums, type Target } from './targets.ts'

const tree = root([zone('eu', [leaf('eu', 'eu-1')]), zone('us', [leaf('us', 'us-1'), leaf('eu', 'eu-1')])])

describe('finding a member', () => {
  it('finds it below every tier that it is connected to', () =>
    expect(findMember(tree, 'zone=eu,cluster=eu-1').map((f) => f.above.map((a) => a.name))).toEqual([
      ['zone=eu'],
      ['zone=us'],
    ]))
  it('takes no name for the tier itself', () => expect(findMember(tree, '')[0]?.node.name).toBe('root'))
  it('knows names like one that is not there', () =>
    expect(similar(tree, 'zone=eu,cluster=eu-9', 2)).toEqual(['zone=eu,cluster=eu-1', 'zone=eu']))
})

describe('asking a member', () => {
  it.each([
    ['member_refuses', 403, '--no-web.status-to-parents'],
    ['member_too_old', 501, 'Upgrade'],
    ['member_missing', 503, 'not connected'],
    ['member_unknown', 404, 'no such member'],
  ])('says why there is no answer: %s', (type, status, text) =>
    expect(unreadable(new ApiError('x', status, type, { data: { member: 'm' } }))).toContain(text),
  )
  it('leaves other errors to others', () => {
    expect(unreadable(new ApiError('x', 500, 'internal'))).toBeUndefined()
    expect(unreadable(new Error('x'))).toBeUndefined()
  })
  it('knows tiers without the endpoint', () =>
    expect(unreadable(new ApiError('404 page not found', 404, ''))).toContain('Upgrade'))
})

describe('what a leaf tells', () => {
  const target = (scrapePool: string, health: Target['health']): Target => ({
    scrapePool,
    scrapeUrl: scrapePool,
    labels: {},
    health,
    lastError: '',
    lastScrape: '',
    lastScrapeDuration: 0,
  })
  const targets = [target('a', 'up'), target('b', 'unknown'), target('b', 'down'), target('a', 'up')]
  it('has what fails first', () => {
    expect(failingFirst(targets).map((t) => t.health)).toEqual(['down', 'unknown', 'up', 'up'])
    expect(pools(targets)).toEqual([
      { name: 'b', up: 0, down: 1, unknown: 1 },
      { name: 'a', up: 2, down: 0, unknown: 0 },
    ])
  })
  it('sums rules', () => {
    const s = ruleSums([
      {
        name: 'g',
        rules: [
          { name: 'r', type: 'recording', health: 'err', lastError: 'x' },
          { name: 'a', type: 'alerting', health: 'ok', state: 'firing' },
        ],
      },
    ])
    expect([s.groups, s.recording, s.alerting, s.firing.length, s.pending.length, s.failing.length]).toEqual([
      1, 1, 1, 1, 0, 1,
    ])
  })
  it('is selected by its labels', () =>
    expect(identityMatchers({ zone: 'eu', 'k8s.cluster': 'a"b' })).toBe('"k8s.cluster"="a\\"b", zone="eu"'))
})
