import { describe, expect, it } from 'vitest'
import { childrenOf, countable, headOf, textOf, type Node, type Selector } from './ast.ts'

const selector = (name: string, rest: Partial<Selector> = {}): Selector => ({
  type: 'vectorSelector',
  name,
  matchers: name ? [{ name: '__name__', type: '=', value: name }] : [],
  offset: 0,
  offsetExpr: null,
  timestamp: null,
  startOrEnd: null,
  ...rest,
})
const up = selector('up')
const rate: Node = {
  type: 'call',
  func: { name: 'rate', returnType: 'vector' },
  args: [selector('x', { type: 'matrixSelector', range: 300_000 })],
}
const plus = (matching: object | null, bool = false): Node =>
  ({
    type: 'binaryExpr',
    op: '>',
    lhs: up,
    rhs: up,
    bool,
    matching: matching && { card: 'one-to-one', labels: [], on: false, include: [], ...matching },
  }) as Node

describe('nodes are written as PromQL', () => {
  it.each<[Node, string]>([
    [up, 'up'],
    [selector('', { matchers: [{ name: '__name__', type: '=~', value: 'a.*' }] }), '{__name__=~"a.*"}'],
    [selector('my metric', { matchers: [{ name: 'a b', type: '!=', value: 'c"d' }] }), '{"my metric", "a b"!="c\\"d"}'],
    [selector('up', { offset: -300_000, timestamp: 1_700_000_000_500 }), 'up @ 1700000000.500 offset -5m'],
    [
      selector('up', { startOrEnd: 'end', type: 'matrixSelector', range: 60_000, smoothed: true }),
      'up[1m] smoothed @ end()',
    ],
    [rate, 'rate(x[5m])'],
    [
      {
        type: 'aggregation',
        op: 'topk',
        param: { type: 'numberLiteral', val: '3' },
        expr: up,
        grouping: ['a', 'b c'],
        without: false,
      },
      'topk by (a, "b c") (3, up)',
    ],
    [{ type: 'aggregation', op: 'sum', param: null, expr: up, grouping: [], without: true }, 'sum without () (up)'],
    [{ type: 'aggregation', op: 'sum', param: null, expr: up, grouping: [], without: false }, 'sum (up)'],
    [plus(null, true), 'up > bool up'],
    [plus({ card: 'many-to-one', labels: ['a'], on: true, include: ['b'] }), 'up > on (a) group_left (b) up'],
    [plus({ labels: ['a'] }), 'up > ignoring (a) up'],
    [plus({ on: true }), 'up > on () up'],
    [plus({ fillValues: { lhs: 0, rhs: 0 } }), 'up > fill(0) up'],
    [plus({ fillValues: { lhs: null, rhs: 1 } }), 'up > fill_right(1) up'],
    [{ type: 'unaryExpr', op: '-', expr: { type: 'parenExpr', expr: up } }, '-(up)'],
    [
      {
        type: 'subquery',
        expr: rate,
        range: 3_600_000,
        rangeExpr: null,
        step: 0,
        stepExpr: null,
        offset: 60_000,
        offsetExpr: null,
        timestamp: null,
        startOrEnd: null,
      },
      'rate(x[5m])[1h:] offset 1m',
    ],
    [
      selector('up', {
        type: 'matrixSelector',
        rangeExpr: {
          type: 'durationExpr',
          op: '+',
          wrapped: true,
          lhs: { type: 'numberLiteral', val: '300', duration: true },
          rhs: { type: 'durationExpr', op: 'step', lhs: null, rhs: null },
        },
      }),
      'up[(5m + step())]',
    ],
    [{ type: 'stringLiteral', val: 'a"b' }, '"a\\"b"'],
  ])('%#: %j', (node, want) => expect(textOf(node)).toBe(want))
})

describe('a tree of nodes', () => {
  it('shows each without its parts', () => {
    const sum: Node = {
      type: 'aggregation',
      op: 'quantile',
      param: { type: 'numberLiteral', val: '0.9' },
      expr: rate,
      grouping: ['a'],
      without: false,
    }
    expect(headOf(sum)).toBe('quantile by (a) (…)')
    expect(childrenOf(sum).map(headOf)).toEqual(['0.9', 'rate(…)'])
    expect(childrenOf(rate).map(headOf)).toEqual(['x[5m]'])
  })
  it('counts the series of ranges without fetching these', () => {
    expect(countable(childrenOf(rate)[0] as Node)).toBe('last_over_time(x[5m])')
    expect(countable(rate)).toBe('rate(x[5m])')
    expect(countable({ type: 'numberLiteral', val: '1' })).toBeUndefined()
  })
})
