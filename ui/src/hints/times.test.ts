import { describe, expect, it } from 'vitest'
import { readTimes, selecting, timeParams } from './times.ts'

const now = Date.parse('2026-11-22T16:00:00Z')
const read = (start: string, end: string) => readTimes(start, end, 'utc', now)

describe('the times of a question', () => {
  it.each([
    ['', '', { end: now / 1000 }],
    ['', '-1d', { end: now / 1000 - 86400 }],
    ['-1h', '', { start: now / 1000 - 3600, end: now / 1000 }],
    ['2026-11-22 03:00', '03:12', { start: now / 1000 - 46800, end: now / 1000 - 46080 }],
    ['-1h', '-1h', { end: now / 1000 - 3600 }],
  ])('from %j to %j', (start, end, times) => expect(read(start, end)).toEqual({ ok: true, times }))
  it.each([
    ['soon', '', 'start'],
    ['-1h', 'soon', 'end'],
    ['-1h', '-2h', 'end'],
  ])('from %j to %j is refused', (start, end, field) => expect(read(start, end)).toMatchObject({ ok: false, field }))

  it('are asked as a moment or as a range', () => {
    expect(timeParams({ end: 100 })).toEqual({ time: 100 })
    expect(timeParams({ start: 0, end: 86400 })).toEqual({ start: 0, end: 86400, step: 1440 })
    expect(timeParams({ start: 0, end: 10 })).toMatchObject({ step: 1 })
  })
  it('select all series of the range at its end', () => {
    expect(selecting('up{a="b"}', { end: 100 })).toBe('up{a="b"}')
    expect(selecting('up', { start: 0, end: 3600 })).toBe('last_over_time(up[1h5m])')
  })
})
