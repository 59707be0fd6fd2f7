import { describe, expect, it } from 'vitest'
import { compare, outcome, size, type Result, type Run } from './audit.ts'

const vector = (values: Record<string, string>): Result => ({
  resultType: 'vector',
  result: Object.entries(values).map(([job, v]) => ({ metric: { job }, value: [100, v] })),
})
const matrix = (...values: [number, string][]): Result => ({
  resultType: 'matrix',
  result: [{ metric: { __name__: 'a' }, values }],
})

describe('an audit compares', () => {
  it.each([
    ['1', '1.0000000001', 0],
    ['1', '1.00000001', 1],
    ['0', '-0', 0],
    ['NaN', 'NaN', 0],
    ['NaN', '1', 1],
    ['+Inf', '+Inf', 0],
    ['+Inf', '-Inf', 1],
    ['+Inf', '5', 1],
    ['1e300', '1e300', 0],
    ['0', '1e-300', 1],
  ])('%s with %s', (a, b, want) => expect(compare(vector({ x: a }), vector({ x: b }))).toHaveLength(want))

  it('series in any order, and names those that differ', () => {
    expect(compare(vector({ a: '1', b: '2', c: '3' }), vector({ c: '4', a: '1', d: '5' }))).toEqual([
      { series: '{job="b"}', t: 100, asked: '2', other: undefined, points: 1 },
      { series: '{job="c"}', t: 100, asked: '3', other: '4', points: 1 },
      { series: '{job="d"}', t: 100, asked: undefined, other: '5', points: 1 },
    ])
  })

  it('each point by its time', () => {
    const d = compare(matrix([1, '1'], [2, '2'], [3, '3']), matrix([1, '1'], [3, '3'], [4, '4']))
    expect(d).toEqual([{ series: 'a', t: 2, asked: '2', other: undefined, points: 2 }])
  })

  it('histograms to nine digits', () => {
    const h = (sum: string): Result => ({
      resultType: 'vector',
      result: [{ metric: {}, histogram: [1, { count: '2', sum, buckets: [[0, '0', '1', '2']] }] }],
    })
    expect(compare(h('0.30000000000000004'), h('0.3'))).toEqual([])
    expect(compare(h('0.3'), h('0.300001'))).toHaveLength(1)
  })

  it('labels whatever their order', () => {
    const v = (metric: Record<string, string>): Result => ({
      resultType: 'vector',
      result: [{ metric, value: [1, '1'] }],
    })
    expect(compare(v({ a: '1', b: '2' }), v({ b: '2', a: '1' }))).toEqual([])
  })

  it('types, scalars and strings', () => {
    expect(
      compare({ resultType: 'scalar', result: [1, '2'] }, { resultType: 'scalar', result: [1, '3'] }),
    ).toHaveLength(1)
    expect(compare({ resultType: 'string', result: [1, 'a'] }, { resultType: 'string', result: [1, 'a'] })).toEqual([])
    expect(compare(vector({}), matrix())[0]).toMatchObject({ asked: 'vector', other: 'matrix' })
  })

  it('counts what it compares', () => {
    expect(size(matrix([1, '1'], [2, '2']))).toEqual({ series: 1, samples: 2 })
    expect(size(vector({ a: '1', b: '1' }))).toEqual({ series: 2, samples: 2 })
  })
})

describe('an audit comes to', () => {
  const run = (name: string, more: Partial<Run> = {}): Run => ({ name, missing: [], ...more })
  const differences = [{ series: 'a', t: 1, asked: '1', other: '2', points: 1 }]
  it.each([
    [[run('a'), run('b', { differences: [] })], 'good', 'All answers are the same.'],
    [[run('a'), run('b', { differences }), run('c', { error: 'x' })], 'bad', 'not the same answer: b; no answer: c'],
    [
      [run('a', { missing: ['leaf x'] }), run('b', { differences })],
      'warn',
      'Undecided: leaf x did not answer every time. Audit again when all do.',
    ],
    [
      [run('a'), run('b', { missing: ['leaf x'], differences })],
      'warn',
      'Undecided: leaf x did not answer every time. Audit again when all do.',
    ],
    [
      [run('a', { missing: ['leaf x'] }), run('b', { missing: ['leaf x'], differences: [] })],
      'warn',
      'All answers are the same, but not whole: leaf x did not answer.',
    ],
  ] as const)('%#', (runs, level, text) => expect(outcome([...runs])).toEqual({ level, text }))
})
