import { expect, it } from 'vitest'
import { readTime } from './GraphControls.tsx'

const now = Date.parse('2026-11-22T16:00:00Z')

it.each([
  ['2026-11-22 16:05:09', '2026-11-22T16:05:09Z'],
  ['03:12', '2026-11-22T03:12:00Z'],
  ['23:30', '2026-11-21T23:30:00Z'],
  ['-1h', '2026-11-22T15:00:00Z'],
  ['1795364344', '2026-11-22T16:19:04Z'],
])('the time %s is %s', (text, want) => expect(readTime(text, 'utc', now)).toBe(Date.parse(want)))
it.each(['2026', 'soon', '-x', '25:00'])('%s is no time', (text) => expect(readTime(text, 'utc', now)).toBeNull())
