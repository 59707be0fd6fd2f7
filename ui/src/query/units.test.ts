import { describe, expect, it } from 'vitest'
import { metricsOf, unitOf, unitOfBuckets, unitOfMetric } from './units.ts'
import { withUnit } from './unittext.ts'

describe('units of metrics', () => {
  it.each([
    ['x_seconds', 'seconds'],
    ['x_seconds_total', 'seconds'],
    ['x_seconds_sum', 'seconds'],
    ['x_seconds_count', ''],
    ['x_seconds_bucket', ''],
    ['node_boot_time_seconds', ''],
    ['x_seconds_created', ''],
    ['x_bytes', 'bytes'],
    ['x_bytes_total', 'bytes'],
    ['x_ratio', 'ratio'],
    ['instance:x:ratio', 'ratio'],
    ['job:x_failed:ratio_rate5m', 'ratio'],
    ['job:x_bytes:rate5m', 'bytes/s'],
    ['x_megabytes_left', ''],
    ['up', ''],
  ])('%s: %s', (name, want) => expect(unitOfMetric(name)).toBe(want))
  it.each([
    ['latency', 'seconds', 'seconds'],
    ['latency', 'ms', 'milliseconds'],
    ['heap', 'By', 'bytes'],
    ['room_temperature', 'celsius', 'celsius'],
    ['x_seconds', '', 'seconds'],
    ['process_start_time_seconds', 'seconds', ''],
    ['x_seconds', 'the time that it takes to answer', 'seconds'],
  ])('%s, told to be in %j, is in %s', (name, told, want) => expect(unitOfMetric(name, told)).toBe(want))
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
    ['{__name__="x_bytes"}', 'bytes'],
    ['{"my.x_bytes", a="b"}', 'bytes'],
  ])('%s: %s', (expr, want) => expect(unitOf(expr)).toBe(want))
  it.each([
    ['power_joules_total', 'joules'],
    ['rate(power_joules_total[5m])', 'joules/s'],
    ['sum(rate(power_joules_total[5m])) / sum(rate(power_joules_total[5m]))', 'ratio'],
    ['rate(power_seconds_total[5m])', ''],
    ['count(power_joules_total)', ''],
  ])('%s, of what metadata tells: %s', (expr, want) =>
    expect(unitOf(expr, (m) => (m === 'power_joules_total' ? 'joules' : undefined))).toBe(want),
  )
  it('are of the metrics that they name', () =>
    expect(metricsOf('a / on (x) {__name__="b", c="d"} + {"e.f"} + a + {g="h"}')).toEqual(['a', 'b', 'e.f']))
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
    [12.5, 'percent', '12.5%'],
    [250, 'milliseconds', '250\u00a0ms'],
    [21.5, 'celsius', '21.5\u00a0celsius'],
    [1234567, '', '1.2M'],
    [0.1 + 0.2, '', '0.3'],
    [0.00001234, '', '1.23e-5'],
  ] as const)('%s %s', (v, unit, want) => expect(withUnit(v, unit)).toBe(want))
})
