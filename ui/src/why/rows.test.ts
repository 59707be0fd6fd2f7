import { describe, expect, it } from 'vitest'
import type { Edge, Explanation, Fragment } from '../api/explain.ts'
import { planRows, type Row } from './rows.ts'

const tier = (
  name: string,
  kind: string,
  fragments: Fragment[] = [],
  more: Partial<Explanation> = {},
): Explanation => ({
  name,
  tier: kind,
  query: 'sum(up)',
  start: 0,
  end: 0,
  step: 0,
  series: 0,
  samples: 0,
  fragments,
  ...more,
})
const fragment = (children: Edge[], more: Partial<Fragment> = {}): Fragment => ({
  id: '0',
  kind: 'concat',
  query: 'sum(up)',
  start: 0,
  end: 0,
  step: 0,
  children,
  ...more,
})
const leaf = (child: string, more: Partial<Edge> = {}): Edge => ({ child, tier: 'leaf', verdict: 'asked', ...more })
const many = (n: number, more: Partial<Edge> = {}) =>
  Array.from({ length: n }, (_, i) => leaf(`l${i}`, { timeNs: i, ...more }))

const text = (rows: Row[]) =>
  rows.map((r) => {
    const pad = ' '.repeat(r.depth) + (r.open === undefined ? '' : r.open ? '-' : '+')
    switch (r.kind) {
      case 'tier':
        return pad + r.x.name
      case 'note':
        return `${pad}${r.note}${r.expr ? ' ' + r.expr : ''}${r.text ? ': ' + r.text : ''}`
      case 'fragment':
        return `${pad}fragment ${r.f.id}`
      case 'edge':
        return pad + r.e.child + (r.e.failed ? ' failed' : '')
      case 'pruned':
        return `${pad}${r.verdict} ${r.evidence} ${r.children.length}+${r.more}`
      case 'name':
        return pad + r.name
      default:
        return `${pad}${r.hidden} more`
    }
  })

describe('the lines of a plan', () => {
  it('are whole where there are few, and do not repeat a query', () => {
    const below = tier('eu', 'zone', [fragment([leaf('eu-1')])], { cuts: [{ expr: 'a\n  + b', why: 'raw' }] })
    const other = tier('us', 'zone', [fragment([leaf('us-1')])], { query: 'other' })
    const x = tier(
      'root',
      'root',
      [fragment([leaf('eu', { tier: 'zone', below }), leaf('us', { tier: 'zone', below: other })])],
      { residual: 'fragment_0', replans: ['too many'] },
    )
    expect(text(planRows(x, new Set()))).toEqual([
      'root',
      ' evaluates fragment_0',
      ' planned again: too many',
      ' fragment 0',
      '  -eu',
      '   keeps a + b: raw',
      '   fragment 0',
      '    eu-1',
      '  -us',
      '   us',
      '    fragment 0',
      '     us-1',
    ])
  })

  it('put children that failed first, then the slowest; the rest on demand', () => {
    const children = [...many(25), leaf('bad', { failed: 'gone' })]
    const rows = planRows(tier('root', 'root', [fragment(children)]), new Set())
    expect(text(rows).slice(2, 5)).toEqual(['  bad failed', '  l24', '  l23'])
    const more = rows.find((r) => r.kind === 'more')
    expect(more).toMatchObject({ hidden: 6 })
    expect(planRows(tier('root', 'root', [fragment(children)]), new Set([more?.key ?? '']))).toHaveLength(2 + 26)
  })

  it('show those that failed even where others are left out', () => {
    const rows = text(planRows(tier('root', 'root', [fragment(many(30, { failed: 'gone' }))]), new Set()))
    expect(rows.filter((r) => r.includes('failed'))).toHaveLength(30)
  })

  it('of a large plan are closed, but for the slowest child and for failures', () => {
    const zone = (i: number, more: Partial<Edge> = {}) =>
      leaf(`z${i}`, { tier: 'zone', timeNs: 1000 - i, below: tier(`z${i}`, 'zone', [fragment(many(30, more))]) })
    const rows = planRows(
      tier('root', 'root', [fragment([zone(0), zone(1), zone(2), zone(3, { failed: 'gone' })])]),
      new Set(),
    )
    const zones = rows.flatMap((r) => (r.kind === 'edge' && r.e.tier === 'zone' ? [[r.e.child, r.open]] : []))
    expect(zones).toEqual([
      ['z3', true],
      ['z0', false],
      ['z1', false],
      ['z2', false],
    ])
  })

  it('put pruned children together by what ruled them out, and count those without a row', () => {
    const pruned = (child: string, evidence: string): Edge => ({
      child,
      tier: 'leaf',
      verdict: 'pruned-hint',
      evidence,
    })
    const f = fragment([pruned('a', 'x="1"'), pruned('b', 'x="1"'), pruned('c', 'y="1"')], {
      pruned: { 'pruned-hint': 10, 'pruned-time': 2 },
    })
    const x = tier('root', 'root', [f])
    const rows = planRows(x, new Set())
    expect(text(rows).slice(2)).toEqual([
      '  pruned-hint  0+7',
      '  +pruned-hint x="1" 2+0',
      '  pruned-time  0+2',
      '  +pruned-hint y="1" 1+0',
    ])
    const group = rows.find((r) => r.kind === 'pruned' && r.children.length === 2)
    expect(text(planRows(x, new Set([group?.key ?? ''])))).toContain('   b')
  })

  it('have keys of their own', () => {
    const below = tier('eu', 'zone', [fragment([leaf('eu-1')]), fragment([leaf('eu-1')])], { replans: ['a', 'a'] })
    const rows = planRows(
      tier('root', 'root', [fragment([leaf('eu', { below })]), fragment([leaf('eu', { below })])]),
      new Set(),
    )
    expect(new Set(rows.map((r) => r.key + r.kind)).size).toBe(rows.length)
  })
})
