import { describe, expect, it } from 'vitest'
import { defaultOptions } from '../api/options.ts'
import { check, readState } from '../why/params.ts'
import { request, whyAsked, whyPanel } from './request.ts'
import { newPanel } from './urlstate.ts'

const now = Date.parse('2026-11-22T16:00:00Z')
const options = { ...defaultOptions, hints: false, cache: false, timeout: '5s' }
const graph = { ...newPanel('up'), tab: 'graph' as const }
/** What the Why page makes of a link. */
const opened = (link: string) => {
  const state = readState(new URLSearchParams(link.slice('/why?'.length)))
  const c = check(state, 'utc', now)
  return { ...(c.ok && c.asked), options: state.options }
}

describe('the link to Why', () => {
  it('asks of the same time, with the same options', () => {
    const at = now - 86_400_405
    const a = request({ ...newPanel('up'), end: at }, 'up{zone="eu"}', options, now)
    expect(opened(whyAsked(a))).toEqual({ expr: 'up{zone="eu"}', start: at / 1000, end: at / 1000, step: 0, options })
  })
  it('asks of the same range', () => {
    const a = request(graph, 'up', options, now)
    expect(opened(whyAsked(a))).toEqual({ expr: 'up', ...a.grid, options })
  })
  it('of what is not asked yet leaves now to be now', () => {
    expect(whyPanel(newPanel(), 'up', defaultOptions)).toBe('/why?expr=up')
    expect(opened(whyPanel(graph, 'up', options))).toEqual({
      expr: 'up',
      start: now / 1000 - 3600,
      end: now / 1000,
      step: 14,
      options,
    })
    expect(opened(whyPanel({ ...graph, end: now - 60_000 }, 'up', options))).toMatchObject({ end: now / 1000 - 60 })
  })
})
