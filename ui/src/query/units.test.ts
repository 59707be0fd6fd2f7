import { describe, expect, it } from 'vitest'
import { unitOf, unitOfBuckets, unitOfMetric, withUnit } from './units.ts'

describe('units of metrics', () => {
  it.each([
    ['x_seconds', 'seconds'],
    ['x_seconds_total', 'seconds'],
    ['x_seconds_sum', 'seconds'],
    ['x_seconds_count', ''],
    ['x_seconds_bucket', ''],
    ['node_boot_time_seconds', ''],
    ['x_bytes', 'bytes'],
    ['x_bytes_total', 'bytes'],
    ['x_ratio', 'ratio'],
    ['instance:x:ratio', 'ratio'],
    ['job:x_failed:ratio_rate5m', 'ratio'],
    ['job:x_bytes:rate5m', 'bytes/s'],
    ['x_megabytes_left', ''],
    ['up', ''],
  ])('%s: %s', (name, want) => expect(unitOfMetric(name)).toBe(want))
  it('are those of the metadata where it has them', () => expect(unitOfMetric('latency', 'seconds')).toBe('seconds'))
})

describe('units of expressions', () => {
  it.each([
    ['x_bytes', 'bytes'],
    ['x_bytes{a="b_seconds"} offset 5m', 'bytes'],
    ['sum by (a) (x_bytes)', 'bytes'],
    ['topk(3, avg_over_time(x_seconds[5m]))', 'seconds'],
    ['rate(x_bytes_total[5m])', 'bytes/s'],
    ['sum(rate(x_seconds_total[5m]))', ''],
    ['histogram_quantile(0.9, sum by (le) (rate(x_seconds_bucket[5m])))', 'seconds'],
    ['histogram_quantile(0.9, rate(x_bytes[5m]))', 'bytes'],
    ['histogram_fraction(0, 1, rate(x_seconds[5m]))', 'ratio'],
    ['count(x_bytes)', ''],
    ['x_bytes / y_bytes', 'ratio'],
    ['x_bytes - y_bytes', 'bytes'],
    ['x_bytes - y', ''],
    ['x_bytes * 8', ''],
    ['x_bytes > 100', 'bytes'],
    ['x_bytes > bool 100', ''],
    ['-(x_bytes)', 'bytes'],
    ['changes(x_bytes[1h])', ''],
    ['sum(', ''],
  ])('%s: %s', (expr, want) => expect(unitOf(expr)).toBe(want))
})

describe('units of observations', () => {
  it.each([
    ['sum(rate(x_seconds[5m]))', 'seconds'],
    ['sum by (le) (rate(x_bytes_bucket[5m]))', 'bytes'],
    ['sum by (le) (rate(x_bucket[5m]))', ''],
  ])('%s: %s', (expr, want) => expect(unitOfBuckets(expr)).toBe(want))
})

describe('values with units', () => {
  it.each([
    [0.25, 'seconds', '250\u00a0ms'],
    [2048, 'bytes/s', '2.0\u00a0KiB/s'],
    [0.5, 'ratio', '50%'],
    [1234567, '', '1.2M'],
    [0.1 + 0.2, '', '0.3'],
    [0.00001234, '', '1.23e-5'],
  ] as const)('%s %s', (v, unit, want) => expect(withUnit(v, unit)).toBe(want))
})
