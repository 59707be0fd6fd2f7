import { describe, expect, it } from 'vitest'
import { stacked, stepIn, timesOf, valuesOn } from './aligned.ts'
import { exemplarsOf, maxExemplars, neighbour, type Exemplar } from './exemplars.ts'
import { remembered, Recall, maxHistory } from './history.ts'
import { labelCounts } from './labelcounts.ts'
import { found, metadataOf } from './metrics.ts'
import { colors, contrast, heat, strokeOf } from './palette.ts'
import { nextRange, stepOf, stepsOf } from './steps.ts'
import { arranged } from './tablerows.ts'

describe('steps', () => {
  it.each([
    ['low', 3600, 36],
    ['medium', 3600, 14],
    ['high', 3600, 5],
    ['high', 60, 0.08],
    ['medium', 120, 1],
    ['high', 31536000, 42048],
  ] as const)('%s of %s s is %s s', (density, range, want) =>
    expect(stepOf({ type: 'auto', density }, range)).toBe(want),
  )
  it('of one are taken as they are', () => expect(stepOf({ type: 'custom', step: 0.25 }, 3600)).toBe(0.25))
  it('count both ends', () => expect(stepsOf(60, 15)).toBe(5))
  it('of ranges end at either end', () =>
    expect([nextRange(3600, 1), nextRange(3601, -1), nextRange(1, -1)]).toEqual([7200, 3600, 1]))
})

describe('values on a grid', () => {
  const times = timesOf({ start: 100, end: 100.6, step: 0.1 })
  it('are at times that do not drift', () => expect(times).toEqual([100, 100.1, 100.2, 100.3, 100.4, 100.5, 100.6]))
  it('keep gaps, and have no place for NaN and infinities', () =>
    expect(
      valuesOn(
        {
          metric: {},
          values: [
            [100.1, '1'],
            [100.3, 'NaN'],
            [100.4, '+Inf'],
            [100.6, '-2e3'],
          ],
        },
        times,
        0.1,
      ),
    ).toEqual([null, 1, null, null, null, null, -2000]))
  it('are stacked, but for those hidden', () =>
    expect(
      stacked(
        [
          [1, null, null],
          [2, 2, 2],
          [3, 3, null],
          [4, null, null],
        ],
        (i) => i !== 1,
      ),
    ).toEqual([
      [1, 0, null],
      [null, null, null],
      [4, 3, null],
      [8, 3, null],
    ]))
  it('tell their step', () =>
    expect(
      stepIn([
        {
          metric: {},
          values: [
            [0, '1'],
            [30, '1'],
            [45, '1'],
          ],
        },
      ]),
    ).toBe(15))
})

describe('colours', () => {
  it.each([
    ['light', '#ffffff'],
    ['dark', '#242424'],
  ] as const)('of lines stand out from the %s page', (scheme, page) => {
    for (const c of colors(scheme)) expect(contrast(c, page), c).toBeGreaterThanOrEqual(3)
  })
  it('differ with dashes for 32 lines', () =>
    expect(new Set(Array.from({ length: 32 }, (_, i) => JSON.stringify(strokeOf(i, 'light')))).size).toBe(32))
  it('of heat begin near the page', () => {
    expect(heat(0, 'dark')).toBe('rgb(0 32 77)')
    expect(heat(0, 'light')).toBe('rgb(255 233 69)')
    expect(heat(1, 'dark')).toBe('rgb(255 233 69)')
  })
})

describe('rows of a table', () => {
  const row = (a: string, v: string) => ({ metric: { __name__: 'x', a }, value: [0, v] as [number, string] })
  const rows = [row('10', '2'), row('9', 'NaN'), row('b', '-Inf'), row('c', '1e3')]
  const order = (r: typeof rows) => r.map((x) => x.metric.a)
  it('are ordered by value, NaN last', () => {
    expect(order(arranged(rows, { key: 'value', down: true }, '') as typeof rows)).toEqual(['c', '10', 'b', '9'])
    expect(order(arranged(rows, { key: 'value', down: false }, '') as typeof rows)).toEqual(['b', '10', 'c', '9'])
  })
  it('are ordered by labels, numbers as numbers', () =>
    expect(order(arranged(rows, { key: 'series', down: false }, '') as typeof rows)).toEqual(['9', '10', 'b', 'c']))
  it('are those that have all words', () =>
    expect(order(arranged(rows, undefined, 'X a="b') as typeof rows)).toEqual(['b']))
})

describe('history', () => {
  it('has each expression once, newest first, and is bounded', () => {
    let list = remembered([], ' up ', 1)
    list = remembered(list, 'x', 2)
    list = remembered(list, 'up', 3)
    expect(list).toEqual([
      { expr: 'up', at: 3 },
      { expr: 'x', at: 2 },
    ])
    for (let i = 0; i < 2 * maxHistory; i++) list = remembered(list, 'q' + i, i)
    expect(list).toHaveLength(maxHistory)
  })
  it('is gone through as in a shell', () => {
    const r = new Recall(() => ['b', 'a'])
    expect(r.step('newer', 'draft')).toBeUndefined()
    expect(r.step('older', 'draft')).toBe('b')
    expect(r.step('older', 'b')).toBe('a')
    expect(r.step('older', 'a')).toBeUndefined()
    expect(r.step('newer', 'a')).toBe('b')
    expect(r.step('newer', 'b')).toBe('draft')
  })
  it('does not show what is shown already', () => expect(new Recall(() => ['b', 'a']).step('older', 'b')).toBe('a'))
})

describe('metrics', () => {
  const all = {
    x: [{ type: 'histogram', help: 'Time.', unit: 'seconds' }],
    y_total: [{ type: 'counter', help: 'Y.', unit: '' }],
  }
  it('know what their series are', () => {
    expect(metadataOf('x_bucket', all)).toEqual({
      type: 'counter',
      unit: '',
      help: 'Time. (part of a histogram)',
    })
    expect(metadataOf('x_sum', all).unit).toBe('seconds')
    const told = (unit: string) => ({ type: 'gauge', help: '', unit })
    expect(metadataOf('w', { w: [told('seconds'), told('bytes')] }).unit).toBe('')
    expect(metadataOf('y_total', all).type).toBe('counter')
    expect(metadataOf('z', all).type).toBe('')
  })
  it('are found by words of name and meaning, names first', () => {
    const rows = ['b_x', 'x_a', 'c'].map((name) => ({ name, type: '', unit: '', help: name === 'c' ? 'of x' : '' }))
    expect(found(rows, 'x').map((r) => r.name)).toEqual(['x_a', 'b_x', 'c'])
  })
})

describe('labels of series', () => {
  it('are counted with their values', () =>
    expect(
      labelCounts([
        { __name__: 'x', a: '1', b: '1' },
        { __name__: 'x', a: '1', b: '2' },
      ]),
    ).toEqual([
      {
        name: 'b',
        values: 2,
        top: [
          ['1', 1],
          ['2', 1],
        ],
      },
      { name: 'a', values: 1, top: [['1', 2]] },
    ]))
})

describe('exemplars', () => {
  it('are thinned out, and say so', () => {
    const exemplars = Array.from({ length: 3 * maxExemplars }, (_, i) => ({
      labels: {},
      value: String(i),
      timestamp: i,
    }))
    const got = exemplarsOf([{ seriesLabels: {}, exemplars }])
    expect(got.drawn).toHaveLength(maxExemplars)
    expect(got.left).toBe(2 * maxExemplars)
    expect(got.drawn.at(-1)?.time).toBeGreaterThan(3 * maxExemplars - 10)
  })
  it('are none of none', () => expect(exemplarsOf(null)).toEqual({ drawn: [], left: 0 }))
})

describe('going through exemplars with keys', () => {
  const all = [1, 2, 3].map((time): Exemplar => ({ labels: {}, series: {}, value: 0, time }))
  it('begins at either end', () =>
    expect([neighbour(all, undefined, 1), neighbour(all, undefined, -1)]).toEqual([all[0], all[2]]))
  it('goes on one by one, and stays at the last', () => {
    expect(neighbour(all, all[0], 1)).toBe(all[1])
    expect(neighbour(all, all[2], 1)).toBe(all[2])
  })
  it('begins anew from one that is gone', () => expect(neighbour(all, { ...all[1] } as Exemplar, 1)).toBe(all[0]))
  it('finds none where there is none', () => expect(neighbour([], undefined, 1)).toBeUndefined())
})
