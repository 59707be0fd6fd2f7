import { describe, expect, it } from 'vitest'
import { bytes, count, duration, numeric, percent, value, whole } from './numbers.ts'
import { dateTime, parseDuration, promDuration } from './times.ts'

describe('numbers', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1234567, '1.2M'],
    [999960, '1.0M'],
    [0.25, '0.25'],
    [-1500, '-1.5k'],
    [undefined, '–'],
  ])('count %s is %s', (n, want) => expect(count(n)).toBe(want))

  it.each([
    [0, '0\u00a0B'],
    [1536, '1.5\u00a0KiB'],
    [150 * 1024, '150\u00a0KiB'],
  ])('bytes %s is %s', (n, want) => expect(bytes(n)).toBe(want))

  it.each([
    [0, '0%'],
    [0.00001, '<0.01%'],
    [0.5, '50%'],
    [0.9999, '>99.9%'],
    [1, '100%'],
  ])('percent %s is %s', (n, want) => expect(percent(n)).toBe(want))

  it.each([
    [0, '0s'],
    [0.0000123, '12.3\u00a0µs'],
    [0.0123, '12.3\u00a0ms'],
    [0.99999, '1.00\u00a0s'],
    [59.99, '1m'],
    [3725, '1h 2m'],
    [90000, '1d 1h'],
  ])('duration %s is %s', (n, want) => expect(duration(n)).toBe(want))

  it.each(['+Inf', '-Inf', 'NaN', '0', '1e+06', '-0.25'])('%s is read, and written as the same', (text) =>
    expect(value(numeric(text))).toBe(text === '1e+06' ? '1000000' : text),
  )
  it('does not take nothing for zero', () => expect(numeric('')).toBeNaN())

  it('keeps thousands apart', () => expect(whole(1234567)).toBe('1\u202f234\u202f567'))
})

describe('times', () => {
  it('shows 24 hours in UTC', () => expect(dateTime('2026-11-22T16:05:09.5Z', 'utc')).toBe('2026-11-22 16:05:09'))
  it('says when a time is not known', () => expect(dateTime('yesterday', 'utc')).toBe('–'))
  it.each([
    ['1h30m', 5400],
    ['90', 90],
    ['250ms', 0.25],
    ['2w', 1209600],
    ['1.5h', undefined],
    ['', undefined],
  ])('reads %s', (text, want) => expect(parseDuration(text)).toBe(want))
  it.each([
    [5400, '1h30m'],
    [86400, '1d'],
    [90000, '25h'],
    [0.25, '250ms'],
    [0, '0s'],
  ])('writes %s', (s, want) => expect(promDuration(s)).toBe(want))
})
