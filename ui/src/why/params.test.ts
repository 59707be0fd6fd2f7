import { describe, expect, it } from 'vitest'
import type { QueryRow } from '../api/queries.ts'
import { defaultOptions, optionParams } from '../api/options.ts'
import { decode } from '../query/urlstate.ts'
import { check, paramsOf, queryAddress, questionOf, readState, rerun, stateOf, writeState } from './params.ts'

const now = Date.parse('2026-11-22T16:00:00Z')
const read = (s: string) => readState(new URLSearchParams(s))

describe('the address of the page', () => {
  it.each([
    'expr=up',
    'expr=up&time=123',
    'expr=up&start=-1h&end=now&step=15s&analyze=1&tab=empty',
    'id=abc',
    'id=abc&tab=plan&not=eu-1',
    'expr=up&not=eu-1',
  ])('%s is kept', (s) => expect(writeState(read(s)).toString()).toBe(s))
  it('opens the leaf that is asked about', () => expect(read('expr=up&not=eu-1').tab).toBe('leaf'))
  it('does not take tabs that are none', () => expect(read('expr=up&tab=x').tab).toBe('plan'))
})

describe('what is asked', () => {
  it('is of now without a time', () =>
    expect(check(read('expr=up'), 'utc', now)).toMatchObject({ ok: true, asked: { start: now / 1000, step: 0 } }))
  it('is a range where one of its bounds is given', () => {
    const c = check(read('expr=up&start=-1h'), 'utc', now)
    expect(c.ok && paramsOf(c.asked)).toEqual({ query: 'up', start: '1795359600', end: '1795363200', step: '14' })
  })
  it.each([
    ['time=soon', 'time'],
    ['start=-1h&end=-2h', 'end'],
    ['start=soon', 'start'],
    ['start=-1h&step=often', 'step'],
  ])('%s is refused', (s, field) => expect(check(read('expr=up&' + s), 'utc', now)).toMatchObject({ ok: false, field }))
  it('keeps milliseconds', () =>
    expect(paramsOf({ expr: 'up', start: 1.0004, end: 1.0004, step: 0, options: defaultOptions })).toEqual({
      query: 'up',
      time: '1',
    }))
})

describe('a past query', () => {
  const row = { query: 'up', start: '2026-11-22T15:00:00Z', end: '2026-11-22T16:00:00Z', step: 60 } as QueryRow
  it('is asked again at the same times', () =>
    expect(writeState(rerun(row)).toString()).toBe('expr=up&start=1795359600&end=1795363200&step=60'))
  it('of an instant too', () =>
    expect(writeState(rerun({ ...row, step: 0 })).toString()).toBe('expr=up&time=1795363200'))
  it('that was refused is asked again without times', () => {
    const { start: _, end: __, ...refused } = row
    expect(writeState(rerun({ ...refused, step: 0 } as QueryRow)).toString()).toBe('expr=up')
  })
  it('opens in Query, at the same millisecond', () => {
    const options = defaultOptions
    expect(queryAddress({ expr: 'up', start: 1795359600, end: 1795363200, step: 60, options })).toBe(
      '/query?g0.expr=up&g0.tab=graph&g0.range_input=1h&g0.end_input=2026-11-22+16%3A00%3A00&g0.res_type=custom&g0.res_step=60',
    )
    const instant = queryAddress({ expr: 'up', start: 1795363200.405, end: 1795363200.405, step: 0, options })
    expect(decode(instant.slice('/query'.length)).panels[0]?.end).toBe(1795363200405)
  })
})

describe('options', () => {
  const options = { ...defaultOptions, hints: false, strict: true, timeout: '5s' }
  const asked = { expr: 'up', start: 60, end: 60, step: 0, options }
  const row = { query: 'up', end: '2026-11-22T16:00:00Z', step: 0, options: optionParams(options) } as Partial<QueryRow>
  it('are kept in the address, of an expression and of a query', () => {
    for (const s of ['expr=up&hints=off&timeout=5s', 'id=abc&nocache=1']) expect(writeState(read(s)).toString()).toBe(s)
  })
  it('go with every request', () =>
    expect(paramsOf(asked)).toEqual({
      query: 'up',
      time: '60',
      partial_response: 'false',
      hints: 'off',
      timeout: '5s',
    }))
  it('go on to further questions, and back to Query', () => {
    expect(stateOf(asked)).toMatchObject({ expr: 'up', time: '60', options })
    expect(decode(queryAddress(asked).slice('/query'.length)).options).toEqual(options)
  })
  it('of a past query are those that it was asked with', () => expect(rerun(row as QueryRow).options).toEqual(options))
  it('make another question, and tabs and leaves do not', () => {
    const of = (s: string) => questionOf(read(s))
    expect(of('expr=up&hints=off')).not.toBe(of('expr=up'))
    expect(of('expr=up&tab=audit&not=eu-1&analyze=1')).toBe(of('expr=up'))
  })
})
