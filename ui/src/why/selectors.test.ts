import { describe, expect, it } from 'vitest'
import {
  matchesEmpty,
  pinnedCount,
  readText,
  selectorsOf,
  selectorText,
  type Matcher,
  type Parsed,
} from './selectors.ts'

const m = (name: string, type: Matcher['type'], value: string): Matcher => ({ name, type, value })

// As /api/v1/parse_query tells it of
// rate(up{zone="eu",job=~"a.*"}[5m] offset 1m @ end()) / max_over_time(sum(foo @ 123)[10m:1m])
const parsed: Parsed = {
  type: 'binaryExpr',
  lhs: {
    type: 'call',
    args: [
      {
        type: 'matrixSelector',
        matchers: [m('zone', '=', 'eu'), m('job', '=~', 'a.*'), m('__name__', '=', 'up')],
        offset: 60_000,
        range: 300_000,
        startOrEnd: 'end',
        timestamp: null,
      },
    ],
  },
  rhs: {
    type: 'call',
    args: [
      {
        type: 'subquery',
        range: 600_000,
        offset: 0,
        expr: {
          type: 'aggregation',
          expr: {
            type: 'vectorSelector',
            matchers: [m('__name__', '=', 'foo')],
            offset: 0,
            startOrEnd: null,
            timestamp: 123_000,
          },
        },
      },
    ],
  },
}

describe('the selectors of a query', () => {
  const [up, foo] = selectorsOf(parsed, 0, 3_600_000)
  it('are written as people write them', () => {
    expect(up?.text).toBe('up{zone="eu", job=~"a.*"}[5m] offset 1m @ 3600.000')
    expect(foo?.text).toBe('foo @ 123.000')
  })
  it('read back over the range, what they look back, and subqueries', () => {
    expect(up?.window).toBe(3_600_000 + 300_000)
    expect(foo?.window).toBe(3_600_000 + 300_000 + 600_000)
    expect(foo && readText(foo, foo.matchers)).toBe('last_over_time(foo[1h15m] @ 123.000)')
  })
  it('are each told once', () => {
    expect(selectorsOf({ type: 'binaryExpr', lhs: parsed.lhs, rhs: parsed.lhs }, 0, 0)).toHaveLength(1)
    expect(selectorsOf({ type: 'numberLiteral', val: '1' }, 0, 0)).toEqual([])
  })
  it('are counted on one leaf by its labels', () => {
    expect(foo && pinnedCount(foo, { zone: 'eu', cluster: 'eu-1' })).toBe(
      'count(last_over_time(foo{cluster="eu-1", zone="eu"}[1h15m] @ 123.000))',
    )
  })
  it('begin with a matcher that may stand alone', () => {
    const s = selectorsOf({ type: 'vectorSelector', matchers: [m('a', '!=', 'x'), m('b', '=~', '.+')] }, 0, 0)[0]
    expect(s?.text).toBe('{b=~".+", a!="x"}')
  })
})

describe('matchers', () => {
  it.each([
    [m('a', '=', ''), true],
    [m('a', '=', 'x'), false],
    [m('a', '!=', 'x'), true],
    [m('a', '!=', ''), false],
    [m('a', '=~', '.*'), true],
    [m('a', '=~', 'x|'), true],
    [m('a', '=~', 'x|y'), false],
    [m('a', '!~', '.+'), true],
    [m('a', '!~', '.*'), false],
  ])('%j lets series without the label through: %s', (matcher, want) => expect(matchesEmpty(matcher)).toBe(want))
  it('quote names of other than the usual letters', () =>
    expect(selectorText([m('__name__', '=', 'a.b'), m('x y', '=', '"')])).toBe('{__name__="a.b", "x y"="\\""}'))
})
