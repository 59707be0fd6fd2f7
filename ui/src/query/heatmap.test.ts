import { describe, expect, it } from 'vitest'
import { heatmapOf, maxRows } from './heatmap.ts'
import type { Bucket, RangeSeries } from './results.ts'

const times = [0, 10]
const rows = (r: RangeSeries[]) => {
  const m = heatmapOf(r, times, 10)
  return m && { bounds: m.bounds, cells: m.cells.map((c) => [...c]), max: m.max }
}

describe('heatmaps of classic buckets', () => {
  const le = (bound: string, a: number, b: number): RangeSeries => ({
    metric: { le: bound },
    values: [
      [0, String(a)],
      [10, String(b)],
    ],
  })
  it('have what is in a bucket alone, and add up what differs in other labels', () => {
    const other = { ...le('1', 1, 1), metric: { le: '1', zone: 'eu' } }
    expect(rows([le('+Inf', 9, 9), le('0.5', 2, 0), le('1', 5, 9), other])).toEqual({
      bounds: [0, 0.5, 1, Infinity],
      cells: [
        [2, 4, 3],
        [0, 10, 0],
      ],
      max: 10,
    })
  })
  it('never have less than nothing', () => expect(rows([le('1', 5, 5), le('2', 3, 5)])?.cells[0]).toEqual([5, 0]))
})

describe('heatmaps of native histograms', () => {
  const at = (t: number, buckets: Bucket[]): RangeSeries => ({
    metric: {},
    histograms: [[t, { count: '1', sum: '1', buckets }]],
  })
  it('have a row for each bucket of any time', () =>
    expect(
      rows([
        {
          metric: {},
          histograms: [
            ...(at(0, [[0, '1', '2', '3']]).histograms ?? []),
            ...(at(10, [[0, '2', '4', '5']]).histograms ?? []),
          ],
        },
      ]),
    ).toEqual({
      bounds: [1, 2, 4],
      cells: [
        [3, 0],
        [0, 5],
      ],
      max: 5,
    }))
  it('spread wide buckets over the rows within', () =>
    expect(
      rows([
        at(0, [[0, '0', '4', '8']]),
        at(0, [
          [0, '0', '1', '1'],
          [0, '1', '4', '1'],
        ]),
      ])?.cells[0],
    ).toEqual([3, 7]))
  it('have a row for the zero bucket and for negative ones', () =>
    expect(
      rows([
        at(0, [
          [1, '-2', '-1', '1'],
          [3, '-0.1', '0.1', '4'],
          [0, '1', '2', '2'],
        ]),
      ]),
    ).toMatchObject({
      bounds: [-2, -1, -0.1, 0.1, 1, 2],
      cells: [
        [1, 0, 4, 0, 2],
        [0, 0, 0, 0, 0],
      ],
    }))
  it('join rows rather than have too many', () => {
    const many = Array.from({ length: 1000 }, (_, i): Bucket => [0, String(i), String(i + 1), '1'])
    const m = heatmapOf([at(0, many)], times, 10)
    expect(m?.bounds.length).toBeLessThanOrEqual(maxRows + 1)
    expect([...(m?.cells[0] ?? [])].reduce((a, b) => a + b)).toBeCloseTo(1000)
  })
})

describe('what has no heatmap', () => {
  it.each([[[]], [[{ metric: { a: 'b' }, values: [[0, '1']] }]]] as RangeSeries[][][])('%j', (r) => {
    expect(heatmapOf(r, times, 10)).toBeUndefined()
  })
})
