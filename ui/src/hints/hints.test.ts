import { describe, expect, it } from 'vitest'
import { leaf, root, zone } from '../leaves/testtree.ts'
import { byClass, byLabel, estimated, passedInVain, savingRows, schemeSize, sparedShare, total } from './sums.ts'
import type { Node } from '../query/ast.ts'
import { counted, holdersOf, identityOf, plainSelector } from './whohas.ts'

const tree = root([
  zone('eu', [leaf('eu', 'a'), leaf('eu', 'b'), leaf('eu', 'c', { state: 'missing' })]),
  zone('us', [leaf('us', 'd'), leaf('us', 'e')]),
])
const edge = (child: string, verdict: string, more: object = {}) => ({ child, tier: 'leaf', verdict, ...more })
const name = '__name__="x"'
const plan = {
  name: 'root',
  tier: 'root',
  fragments: [
    {
      children: [
        {
          ...edge('zone=eu', 'asked', { tier: 'zone' }),
          below: {
            name: 'zone=eu',
            tier: 'zone',
            fragments: [
              {
                children: [
                  edge('zone=eu,cluster=a', 'asked'),
                  edge('zone=eu,cluster=c', 'asked'),
                  edge('zone=eu,cluster=b', 'pruned-hint', { evidence: name }),
                ],
                pruned: { 'pruned-hint': 1 },
              },
            ],
          },
        },
        edge('zone=us', 'pruned-hint', { tier: 'zone', evidence: name }),
      ],
      pruned: { 'pruned-hint': 1 },
    },
  ],
}

describe('who has it', () => {
  it('names leaves with what is above them, and what rules out the others', () => {
    const h = holdersOf(plan, tree)
    expect(h.leaves.map((l) => [l.name, l.above, l.state])).toEqual([
      ['zone=eu,cluster=a', ['zone=eu'], 'connected'],
      ['zone=eu,cluster=c', ['zone=eu'], 'missing'],
    ])
    expect(h.pruned).toEqual([
      { by: 'zone zone=eu', verdict: 'pruned-hint', evidence: name, children: 1, leaves: 1 },
      { by: 'root', verdict: 'pruned-hint', evidence: name, children: 1, leaves: 2 },
    ])
    expect(h.untold).toEqual([])
  })

  it.each([
    ['a zone that failed', { children: [edge('zone=eu', 'asked', { tier: 'zone', failed: 'gone' })] }, 'gone'],
    [
      'a zone that tells nothing',
      { children: [edge('zone=eu', 'asked', { tier: 'zone' })] },
      'it did not say which of its children may',
    ],
    ['children without a row', { children: [], pruned: { 'pruned-hint': 3 }, note: '3 left out' }, '3 left out'],
  ])('says that it does not know of %s', (_, fragment, why) =>
    expect(holdersOf({ name: 'root', tier: 'root', fragments: [fragment] }, tree).untold.map((u) => u.why)).toEqual([
      why,
    ]),
  )

  it('counts series by identity, and claims nothing of those that are silent', () => {
    const { leaves } = holdersOf(plan, tree)
    const by = identityOf(leaves)
    expect(by).toEqual(['cluster', 'zone'])
    const counts = [{ metric: { zone: 'eu', cluster: 'a' }, value: 4 }]
    expect(counted(leaves, { by, counts, silent: new Set() }).map((l) => l.series)).toEqual([4, undefined])
    expect(counted(leaves, { by, counts, silent: new Set(['zone=eu']) }).map((l) => l.series)).toEqual([
      undefined,
      undefined,
    ])
    const shards = [leaves[0], { ...leaves[0], name: 'other' }] as typeof leaves
    expect(counted(shards, { by, counts, silent: new Set() }).map((l) => l.shared)).toEqual([true, true])
  })

  it('tells who answers for the name itself, and does not take that for silence', () => {
    const own = edge('root', 'asked', { tier: 'rollups' })
    const got = holdersOf({ name: 'root', tier: 'root', fragments: [{ children: [own] }] }, tree)
    expect([got.own, got.untold, got.leaves]).toEqual([['root'], [], []])
  })

  const selector = { type: 'vectorSelector', name: 'up', matchers: [], offset: 0, offsetExpr: null, timestamp: null }
  const plain = { ...selector, startOrEnd: null } as unknown as Node
  it.each<[Node, string | undefined]>([
    [plain, 'up'],
    [{ type: 'parenExpr', expr: { type: 'parenExpr', expr: plain } }, 'up'],
    [{ ...plain, offset: 300_000 } as Node, undefined],
    [{ ...plain, timestamp: 1 } as Node, undefined],
    [{ type: 'numberLiteral', val: '1' }, undefined],
  ])('takes plain selectors only: %o', (ast, want) => expect(plainSelector(ast)).toBe(want))
})

describe('what hints saved', () => {
  const uses = { asked: 100, told: 50, empty: 5, spared: 300, emptyRate: 0.1 }
  it('is the share of all requests that there would have been', () => {
    expect(sparedShare(total({ equality: uses, regexp: { ...uses, spared: 0 } }))).toBe(300 / 500)
    expect(sparedShare(total({}))).toBeUndefined()
  })
  it('misses those that were asked in vain', () => {
    expect(passedInVain(uses)).toBeCloseTo(10 / 310)
    expect(passedInVain(total({}))).toBeUndefined()
  })
  it('weighs filters by what they hold', () => {
    const child = (fingerprints: number, falsePositiveRate: number) => ({
      name: 'a',
      tier: 'leaf',
      connected: true,
      synced: true,
      uses: {},
      hint: { fingerprints, bytes: 1, layers: 1, fill: 0, epoch: '1', age: 0, falsePositiveRate, sections: null },
    })
    expect(estimated([child(300, 0.01), child(100, 0.05)])).toEqual({ mean: 0.02, worst: 0.05 })
    expect(estimated([])).toBeUndefined()
  })
})

describe('a scheme', () => {
  const kind = (c: string, labels: string[], kept: boolean, bytes: number) => ({
    class: c,
    labels,
    kept,
    facts: bytes,
    bytes,
    reason: '',
  })
  const scheme = [
    kind('values', ['job'], true, 10),
    kind('pairs', ['job', 'pod'], true, 50),
    kind('pairs', ['pod', 'uid'], false, 900),
  ]
  it('is summed by class, and by label', () => {
    expect(byClass(scheme).map((p) => [p.name, p.kept, p.dropped, p.bytes, p.droppedBytes])).toEqual([
      ['pairs', 1, 1, 50, 900],
      ['values', 1, 0, 10, 0],
    ])
    expect(byLabel(scheme).map((p) => [p.name, p.bytes])).toEqual([
      ['job', 60],
      ['pod', 50],
      ['uid', 0],
    ])
  })
  it('has its size without what is not kept', () => expect(schemeSize(scheme, 30)).toEqual({ bytes: 60, perSeries: 2 }))
})

describe('savings by label', () => {
  it('tells shares of all that was spared, what is of no single label last', () => {
    const rows = savingRows({
      labels: [
        { label: '__name__', spared: 60 },
        { label: 'job', spared: 20 },
        { label: 'never', spared: 0 },
      ],
      together: 15,
      others: 5,
    })
    expect(rows.map((r) => [r.name, r.label, r.spared, r.share])).toEqual([
      ['__name__', true, 60, 0.6],
      ['job', true, 20, 0.2],
      ['several matchers together', false, 15, 0.15],
      ['other labels', false, 5, 0.05],
    ])
  })

  it('has no rows where nothing was spared', () => {
    expect(savingRows({ labels: [], together: 0, others: 0 })).toEqual([])
  })
})
