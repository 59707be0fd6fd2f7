import { describe, expect, it } from 'vitest'
import { behind, furthestBehind, type Rollup } from '../api/rollups.ts'
import { strip, wholeShare } from './strip.ts'

const rule = (r: Partial<Rollup>): Rollup => ({
  id: '1',
  name: 'r',
  expr: 'sum(up)',
  every: 10,
  for: 3600,
  since: 110,
  until: 180,
  lag: 20,
  whole: 8,
  partial: 0,
  unfit: 0,
  absent: 0,
  holes: [],
  ...r,
})
const of = (r: Rollup) => strip(r, 0, 200).map((p) => [p.state, p.start, p.end])

describe('a coverage strip', () => {
  it('has nothing before points are owed, and waits for those that are not due', () =>
    expect(of(rule({}))).toEqual([
      ['none', 0, 100],
      ['whole', 100, 180],
      ['due', 180, 200],
    ]))
  it('shows a hole where its points are, and who is missing', () => {
    const r = rule({ until: 130, holes: [{ from: 140, to: 150, state: 'partial', missing: ['eu-1'] }] })
    expect(of(r)).toEqual([
      ['none', 0, 100],
      ['whole', 100, 130],
      ['partial', 130, 150],
      ['due', 150, 200],
    ])
    expect(strip(r, 0, 200)[2]?.missing).toEqual(['eu-1'])
  })
  it('shows what is there after an absent hole as whole, as while older points are made good', () => {
    const holes = [{ from: 110, to: 140, state: 'absent' as const }]
    // No point is there with all owed ones before it.
    expect(of(rule({ until: 0, due: 180, holes }))).toEqual([
      ['none', 0, 100],
      ['absent', 100, 140],
      ['whole', 140, 180],
      ['due', 180, 200],
    ])
  })
  it('does not call whole what lies after the holes that are told, if there are more', () => {
    const r = rule({ until: 110, due: 180, holes: [{ from: 120, to: 120, state: 'absent' }], holesLeftOut: 2 })
    expect(of(r)).toEqual([
      ['none', 0, 100],
      ['whole', 100, 110],
      ['absent', 110, 120],
      ['untold', 120, 180],
      ['due', 180, 200],
    ])
  })
  it('cuts what is older than the strip', () =>
    expect(strip(rule({}), 150, 200).map((p) => [p.state, p.from, p.to])).toEqual([
      ['whole', 0, 0.6],
      ['due', 0.6, 1],
    ]))
  it('is empty for a rule that owes nothing yet', () =>
    expect(of(rule({ since: 0, until: 0 }))).toEqual([['none', 0, 200]]))
})

describe('the whole share', () => {
  it('counts all that is owed', () => expect(wholeShare(rule({ whole: 3, absent: 1 }))).toBe(0.75))
  it('is not known of nothing', () => expect(wholeShare(rule({ whole: 0 }))).toBeUndefined())
})

describe('how far a rule is behind', () => {
  it('is not known if its first point is absent: it is not up to date', () => {
    const holed = rule({ until: 0, lag: 0, absent: 9 })
    expect(behind(holed)).toBeUndefined()
    expect(furthestBehind([rule({ lag: 20 }), holed])).toBeUndefined()
    expect(furthestBehind([rule({ lag: 20 }), rule({ lag: 50 })])).toBe(50)
  })
})
