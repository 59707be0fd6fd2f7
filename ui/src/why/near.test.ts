import { describe, expect, it } from 'vitest'
import { distance, nearest } from './near.ts'

describe('values that may be meant', () => {
  it.each([
    ['chekout', 'checkout', 1],
    ['chcekout', 'checkout', 1],
    ['cart', 'cart', 0],
    ['cart', 'payments', 4],
  ])('from %s to %s are %s letters, of 3 at most', (a, b, want) => expect(distance(a, b, 3)).toBe(want))

  it.each([
    ['chekout', ['checkout']],
    ['CART', ['cart']],
    ['pay', ['payments']],
    ['api-gateway', ['gateway']],
    ['zebra', []],
  ])('like %s', (wanted, want) => expect(nearest(wanted, ['cart', 'checkout', 'gateway', 'payments'], 3)).toEqual(want))

  it('shows no more than asked for', () => expect(nearest('a', ['a1', 'a2', 'a3'], 2)).toEqual(['a1', 'a2']))
})
