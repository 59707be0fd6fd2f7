import { describe, expect, it } from 'vitest'
import { readMoment } from './moments.ts'

const now = Date.parse('2026-11-22T16:00:00Z')
const seconds = (s: string) => Date.parse(s) / 1000

describe('points in time as people type them', () => {
  it.each([
    ['now', '2026-11-22T16:00:00Z'],
    ['03:12', '2026-11-22T03:12:00Z'],
    ['3:12', '2026-11-22T03:12:00Z'],
    ['23:30', '2026-11-21T23:30:00Z'],
    ['16:00', '2026-11-22T16:00:00Z'],
    ['2026-11-20', '2026-11-20T00:00:00Z'],
    ['2026-11-20 04:05', '2026-11-20T04:05:00Z'],
    ['2026-11-20T04:05:06.5', '2026-11-20T04:05:06.5Z'],
    ['2026-11-20T04:05:06+01:00', '2026-11-20T03:05:06Z'],
    ['-90m', '2026-11-22T14:30:00Z'],
  ])('%s is %s', (text, want) => expect(readMoment(text, 'utc', now)).toBe(seconds(want)))
  it('is of the day before by the calendar, also on a day of 25 hours', () => {
    const zone = process.env.TZ
    process.env.TZ = 'Europe/Berlin'
    try {
      const late = Date.parse('2026-10-25T23:30:00+01:00')
      expect(readMoment('23:45', 'local', late)).toBe(seconds('2026-10-24T23:45:00+02:00'))
    } finally {
      if (zone === undefined) delete process.env.TZ
      else process.env.TZ = zone
    }
  })
  it('takes seconds since the epoch', () => expect(readMoment('1795364344.405', 'utc', now)).toBe(1795364344.405))
  it.each(['', 'soon', '25:99', '2026-13-01', '-', '-x', '12'.repeat(3) + 'x'])('does not take %j', (text) =>
    expect(readMoment(text, 'utc', now)).toBeUndefined(),
  )
})
