import { expect, it } from 'vitest'
import { progressText } from './queries.ts'

it.each([
  [{ asked: 1, answered: 1, failed: 0 }, '1 of 1 child has answered'],
  [
    { asked: 3, answered: 1, failed: 1, waiting: ['zone=us'] },
    '1 of 3 children have answered, 1 failed, waits for zone=us',
  ],
  [
    { asked: 300, answered: 100, failed: 0, waiting: ['a', 'b', 'c', 'd'] },
    '100 of 300 children have answered, waits for a, b, c and 197 more',
  ],
])('how far a query is: %j', (p, want) => expect(progressText(p)).toBe(want))
