import { describe, expect, it } from 'vitest'
import { at, before, leaf, root, zone } from '../leaves/testtree.ts'
import { parseSearch } from '../leaves/terms.ts'
import { colouringOf, steps, type Mode } from './colouring.ts'
import { fanOutOf } from './fanout.ts'
import { layoutOf, placesOf } from './layout.ts'
import { liveOf, lookOf } from './look.ts'
import { remember, withStale } from './memory.ts'

const tree = root([
  zone('eu', [
    leaf('eu', 'a', { revision: 'r1' }),
    leaf('eu', 'b', { maxt: before(100), revision: 'r2', sampleRate: 5000 }),
    leaf('eu', 'c', { state: 'missing' }),
  ]),
  zone('us', [
    leaf('us', 'd', {
      revision: 'r1',
      hint: { synced: false, fingerprints: 0, bytes: 0, age: 0, falsePositiveRate: 0, reason: 'waiting' },
    }),
  ]),
])

function look(mode: Mode, q = '', only = '', fan?: Parameters<typeof colouringOf>[3]) {
  const live = liveOf(tree)
  const layout = layoutOf(placesOf(tree), 1200, 700)
  const c = colouringOf(mode, [...live.nodes.values()], at, fan)
  const l = lookOf(layout, live, c, q ? parseSearch(q, at).match : undefined, only)
  return { ...l, byCell: [...l.cellClass].map((k) => l.classes[k]?.id) }
}

describe('colours', () => {
  it.each([
    ['health', ['good', 'late', 'missing', 'good']],
    ['fresh', ['age0', 'age3', 'missing', 'age0']],
    ['revision', ['r r1', 'r r2', 'missing', 'r r1']],
    ['hint', ['prunes', 'prunes', 'missing', 'waiting']],
  ] as const)('by %s', (mode, ids) => expect(look(mode).byCell).toEqual(ids))

  it('tells busy leaves from quiet ones', () => {
    const ids = look('traffic').byCell
    expect(ids[0]).not.toBe(ids[1])
    expect(ids[2]).toBe('missing')
  })

  it('counts each kind, and says in titles of zones what is wrong in them', () => {
    const l = look('health')
    expect(Object.fromEntries(l.classes.map((c, i) => [c.id, l.counts[i]]))).toEqual({
      missing: 1,
      dark: 0,
      late: 1,
      empty: 0,
      good: 2,
    })
    expect(l.boxes.map((b) => b.details)).toEqual([
      ['3 · 1 late · 1 missing', '3 · 2 ⚠'],
      ['1', '1'],
    ])
  })

  it('fades what is not searched for, or not of the kind that was chosen', () => {
    expect([...(look('health', 'cluster=b').faint ?? [])]).toEqual([1, 0, 1, 1])
    expect([...(look('health', '', 'good').faint ?? [])]).toEqual([0, 1, 1, 0])
    expect(look('health').faint).toBeUndefined()
  })

  it('keeps the colours of revisions while most leaves change from one to the other', () => {
    const color = (n: number) =>
      colouringOf(
        'revision',
        Array.from({ length: 9 }, (_, i) => leaf('eu', String(i), { revision: i < n ? 'new' : 'old' })),
        at,
      ).classes.find((c) => c.id === 'r new')?.color
    expect(color(2)).toEqual(color(8))
  })

  it('bounds sizes by round numbers', () => {
    expect(steps([3, 40_000], 5).length).toBe(4)
    for (const s of steps([3, 40_000], 5)) expect([1, 2, 5]).toContain(Number(String(s)[0]))
    expect(steps([], 5)).toEqual([])
    expect(steps([7], 5).length).toBeLessThanOrEqual(1)
  })
})

describe('a query', () => {
  const edge = (child: string, more: object = {}) => ({
    child,
    tier: 'leaf',
    verdict: 'asked',
    series: 3,
    samples: 9,
    bytes: 100,
    ...more,
  })
  const plan = {
    name: 'root',
    tier: 'root',
    fragments: [
      {
        children: [
          {
            ...edge('zone=eu', { tier: 'zone', bytes: 300 }),
            below: {
              name: 'zone=eu',
              tier: 'zone',
              fragments: [
                {
                  children: [
                    edge('zone=eu,cluster=a'),
                    edge('zone=eu,cluster=b', { series: 0, empty: 'several' }),
                    edge('zone=eu,cluster=c', { failed: 'gone', late: true }),
                  ],
                },
              ],
            },
          },
          { child: 'zone=us', tier: 'zone', verdict: 'pruned-hint', evidence: 'job="x"' },
        ],
      },
      {
        children: [
          { child: 'zone=us', tier: 'zone', verdict: 'pruned-label', evidence: 'zone="eu"' },
          edge('zone=eu', { tier: 'zone', bytes: 50 }),
        ],
      },
    ],
  }

  it('is lit where it went, grey where it was spared, red where it failed', () => {
    const fan = fanOutOf(plan, true)
    expect(look('query', '', '', fan).byCell).toEqual(['asked', 'vain', 'failed', 'pruned-hint'])
    expect(fan.of('zone=us > zone=us,cluster=d')).toMatchObject({
      verdict: 'pruned-hint',
      evidence: 'job="x"',
      above: 'zone=us',
    })
    expect(fan.of('zone=eu')).toMatchObject({ bytes: 350 })
  })

  it('draws lines as wide as what came through them', () => {
    const l = look('query', '', '', fanOutOf(plan, true))
    const layout = layoutOf(placesOf(tree), 1200, 700)
    const width = (box: number) => l.segments[layout.segments.findIndex((s) => s.end && s.boxes[0] === box)]?.width ?? 0
    expect(width(0)).toBeGreaterThan(width(1))
    expect(l.widest).toBe(350)
  })

  it('does not claim to know of those that were not told of', () => {
    const short = {
      name: 'root',
      tier: 'root',
      truncated: 'too large',
      fragments: [{ note: '1 more', children: [edge('zone=eu', { tier: 'zone' })] }],
    }
    const fan = fanOutOf(short, true)
    expect(look('query', '', '', fan).byCell).toEqual(['untold', 'untold', 'untold', 'untold'])
    expect(fan.notes).toEqual(['root root: too large', 'root root: 1 more'])
  })

  it('knows of no empty answers if nobody was asked', () =>
    expect(look('query', '', '', fanOutOf(plan, false)).byCell[1]).toBe('asked'))
})

describe('a zone that does not tell', () => {
  const slow = root([
    zone('eu', [], { error: 'soft deadline passed (2s)' }),
    tree.children[1] as (typeof tree.children)[number],
  ])

  it('keeps its place, and its leaves are set apart', () => {
    const before_ = remember(tree, undefined)
    const now = remember(slow, before_)
    expect(now.tree.children[0]?.children).toHaveLength(3)
    expect(liveOf(now.tree).signature).toBe(liveOf(tree).signature)
    const c = withStale(colouringOf('health', [], at), now.stale)
    const eu = now.tree.children[0]?.children?.[0]
    expect(eu && c.of(eu, 'zone=eu > zone=eu,cluster=a')).toBe('stale')
  })

  it('is itself again once it tells', () => {
    const now = remember(tree, remember(slow, remember(tree, undefined)))
    expect(now.stale.size).toBe(0)
    expect(now.tree).toBe(tree)
  })

  it('has no leaves if none were ever known', () =>
    expect(remember(slow, undefined).tree.children[0]?.children).toEqual([]))
})
