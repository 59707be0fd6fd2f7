import { describe, expect, it } from 'vitest'
import { defaultOptions } from '../api/options.ts'
import { decode, encode, formatTime, newPanel, parseTime } from './urlstate.ts'

const at = Date.UTC(2026, 10, 22, 16, 5, 9)

describe('addresses of Prometheus', () => {
  it('opens those of the old graph page', () =>
    expect(
      decode(
        '?g0.expr=up&g0.tab=0&g0.stacked=1&g0.range_input=2h&g0.end_input=2026-11-22%2016%3A05%3A09&g0.step_input=30',
      ).panels,
    ).toEqual([
      {
        ...newPanel('up'),
        tab: 'graph',
        display: 'stacked',
        range: 7200,
        end: at,
        resolution: { type: 'custom', step: 30 },
      },
    ]))
  it('opens those of the new query page', () =>
    expect(
      decode(
        '?g0.expr=up&g0.show_tree=0&g0.tab=graph&g0.range_input=15m&g0.res_type=fixed&g0.res_step=60&g0.display_mode=heatmap&g0.show_exemplars=1&g1.expr=x&g1.tab=explain',
      ).panels,
    ).toEqual([
      {
        ...newPanel('up'),
        tab: 'graph',
        range: 900,
        resolution: { type: 'fixed', step: 60 },
        display: 'heatmap',
        exemplars: true,
      },
      { ...newPanel('x'), tab: 'tree' },
    ]))
  it.each([
    ['g0.tab=1', 'table'],
    ['g0.tab=table', 'table'],
    ['g0.show_tree=1', 'tree'],
    ['g0.tab=9', 'table'],
  ])('%s shows the %s', (tab, want) => expect(decode('?g0.expr=up&' + tab).panels[0]?.tab).toBe(want))
  it('keeps what it cannot read as it is by default', () =>
    expect(
      decode('?g0.expr=up&g0.range_input=long&g0.end_input=noon&g0.res_type=auto&g0.res_density=huge').panels[0],
    ).toEqual(newPanel('up')))
  it('has an empty panel where there is none', () => expect(decode('').panels).toEqual([newPanel()]))
})

describe('what is written', () => {
  it('reads as the same', () => {
    const state = {
      panels: [
        { ...newPanel('sum(rate(x{a="b&c"}[5m]))'), tab: 'graph' as const, end: at, range: 5400, exemplars: true },
        { ...newPanel('up'), resolution: { type: 'custom' as const, step: 0.5 }, display: 'stacked' as const },
      ],
      options: { ...defaultOptions, strict: true, hints: false, cache: false, align: true, timeout: '30s' },
      scope: { zone: ['eu', 'us'], cluster: ['a=b'] },
    }
    expect(decode(encode(state))).toEqual(state)
  })
})

describe('times', () => {
  it.each([
    ['2026-11-22 16:05:09', at],
    ['2026-11-22T17:05:09+01:00', at],
    ['2026-11-22 16:05', at - 9000],
    [String(at / 1000), at],
    ['2026-13-01', null],
    ['now', null],
  ])('%s', (text, want) => expect(parseTime(text)).toBe(want))
  it('are written in UTC, and keep milliseconds', () => {
    expect(formatTime(at)).toBe('2026-11-22 16:05:09')
    expect(parseTime(formatTime(at + 405))).toBe(at + 405)
  })
})

describe('a logarithmic axis', () => {
  const page = (log: boolean) => ({ panels: [{ ...newPanel('up'), log }], options: defaultOptions, scope: {} })
  it('is in the address, and comes back from it', () => {
    expect(encode(page(true))).toContain('g0.log_scale=1')
    expect(decode(encode(page(true))).panels[0]?.log).toBe(true)
  })
  it('is not there otherwise', () => expect(encode(page(false))).not.toContain('log_scale'))
})
