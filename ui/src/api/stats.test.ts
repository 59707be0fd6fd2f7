import { describe, expect, it } from 'vitest'
import { countLeaves, missingOf, parseMissing, slowest, unquoteGo, type ChildRow, type Completeness } from './stats.ts'

const row = (name: string, tier: ChildRow['tier'], rest: Partial<ChildRow> = {}): ChildRow => ({
  name,
  tier,
  verdict: 'asked',
  requests: 1,
  series: 0,
  samples: 0,
  ...rest,
})

describe('leaves', () => {
  it('do not count what a tier holds itself', () =>
    expect(
      countLeaves([row('rollups', 'rollups', { verdict: 'pruned-label' }), row('a', 'leaf')], () => 1),
    ).toMatchObject({
      asked: 1,
      label: 0,
    }))
})

describe('warnings about children', () => {
  it('gives tier, name and reason', () =>
    expect(
      parseMissing('partial answer: leaf "zone=eu,cluster=eu-1" did not answer: unavailable: connection lost'),
    ).toEqual({ tier: 'leaf', name: 'zone=eu,cluster=eu-1', reason: 'unavailable: connection lost' }))
  it('keeps a reason with line breaks and quotes', () =>
    expect(parseMissing('partial answer: zone "a" did not answer: x "b" did not answer: y\nz')?.reason).toBe(
      'x "b" did not answer: y\nz',
    ))
  it.each(['PromQL info: ignored histogram', 'partial answer: leaf eu-1 did not answer: x', ''])(
    'leaves %j alone',
    (w) => expect(parseMissing(w)).toBeUndefined(),
  )
  it.each([
    ['"a\\"b\\\\c"', 'a"b\\c'],
    ['"\\u00e9\\U0001f333\\n"', 'é🌳\n'],
    ['"\\xc3\\xa9"', 'é'],
    ['"é🌳"', 'é🌳'],
    ['"a', undefined],
    ['"\\q"', undefined],
  ])('reads the Go literal %s', (literal, want) => expect(unquoteGo(literal)).toBe(want))
})

describe('counts of leaves', () => {
  it('counts the leaves below a pruned zone, and an asked zone only by its leaves', () =>
    expect(
      countLeaves(
        [
          row('eu', 'zone'),
          row('eu-1', 'leaf'),
          row('eu-2', 'leaf', { verdict: 'pruned-hint' }),
          row('us', 'zone', { verdict: 'pruned-label' }),
          row('ap', 'zone', { failed: 'gone', late: true }),
        ],
        (name) => ({ us: 12, ap: 3 })[name] ?? 1,
      ),
    ).toEqual({ asked: 1, failed: 3, late: 3, hint: 1, label: 12, time: 0, rollup: 0 }))
})

describe('the slowest child', () => {
  it('is a leaf where there are leaves', () =>
    expect(
      slowest([row('eu', 'zone', { time: 3 }), row('a', 'leaf', { time: 1 }), row('b', 'leaf', { time: 2 })])?.name,
    ).toBe('b'))
  it('is a zone where leaves have no times', () =>
    expect(slowest([row('eu', 'zone', { time: 3 }), row('us', 'zone', { time: 4 }), row('a', 'leaf')])?.name).toBe(
      'us',
    ))
  it('is none of none', () => expect(slowest([])).toBeUndefined())
})

describe('what is missing', () => {
  const stats = {
    children: [row('a', 'leaf', { failed: 'x', late: true })],
    failed: [{ name: 'a', reason: 'x', late: true }],
  } as unknown as Completeness
  it('names each child once', () =>
    expect(
      missingOf(stats, [
        'partial answer: leaf "a" did not answer: x',
        'partial answer: zone "b" did not answer: y',
        'other',
      ]),
    ).toEqual([
      { name: 'a', reason: 'x', late: true, tier: 'leaf' },
      { name: 'b', reason: 'y', tier: 'zone' },
    ]))
  it('believes warnings alone', () =>
    expect(missingOf(undefined, ['partial answer: leaf "a" did not answer: x'])).toHaveLength(1))
})
