import { describe, expect, it } from 'vitest'
import { readSince } from './since.ts'

const now = Date.parse('2026-11-22T16:00:00Z')

describe('since when points are made', () => {
  it.each([
    ['7d', '1w'],
    ['-90m', '1h30m'],
    ['2026-11-20', '2026-11-20T00:00:00.000Z'],
    ['2026-11-20 04:05', '2026-11-20T04:05:00.000Z'],
    ['03:12', '2026-11-22T03:12:00.000Z'],
  ])('%s is %s', (text, want) => expect(readSince(text, 'utc', now)).toBe(want))
  it.each(['90', '1795364344', '2026-11-23', 'November', ''])('%j is neither', (text) =>
    expect(readSince(text, 'utc', now)).toBeUndefined(),
  )
})
