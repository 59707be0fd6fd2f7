import { expect, it } from 'vitest'
import { placesOf, seriesAt } from './hidden.ts'

const lines = (...jobs: string[]) => jobs.map((job, index) => ({ metric: { __name__: 'up', job }, index }))

it('hides the same series in the next answer, wherever it stands there', () => {
  const hidden = seriesAt(lines('a', 'b', 'c'), new Set([1]))
  expect(placesOf(lines('a', 'b', 'c'), hidden)).toEqual(new Set([1]))
  expect(placesOf(lines('a', 'aa', 'b'), hidden)).toEqual(new Set([2]))
  expect(placesOf(lines('x', 'y'), hidden)).toEqual(new Set())
})
