import { describe, expect, it } from 'vitest'
import { scoped } from './scope.ts'
import { matcherText } from './scopetext.ts'

const eu = { zone: ['eu'], cluster: [] }

describe('a scope', () => {
  it.each([
    ['up', 'up{zone="eu"}'],
    ['up{}', 'up{zone="eu"}'],
    ['up{ }', 'up{zone="eu" }'],
    ['up{a="}"}', 'up{zone="eu",a="}"}'],
    ['up{a="b",}', 'up{zone="eu",a="b",}'],
    ['{"a b"}', '{zone="eu","a b"}'],
    ['{__name__=~"up|x"}', '{zone="eu",__name__=~"up|x"}'],
    ['up[5m]', 'up{zone="eu"}[5m]'],
    ['up offset 5m', 'up{zone="eu"} offset 5m'],
    ['up @ start()', 'up{zone="eu"} @ start()'],
    ['max_over_time(rate(x[5m])[1h:1m])', 'max_over_time(rate(x{zone="eu"}[5m])[1h:1m])'],
    [
      'a / on (zone) group_left (b) c{d!~"e"} unless f',
      'a{zone="eu"} / on (zone) group_left (b) c{zone="eu",d!~"e"} unless f{zone="eu"}',
    ],
    ['sum by (up) (up) # up', 'sum by (up) (up{zone="eu"}) # up'],
    ['label_replace(up, "up", "$1", "up", "up")', 'label_replace(up{zone="eu"}, "up", "$1", "up", "up")'],
    ['vector(1) + time()', 'vector(1) + time()'],
    ['rate(x[5m] anchored)', 'rate(x{zone="eu"}[5m] anchored)'],
  ])('is in every selector of %s', (expr, want) => expect(scoped(expr, eu)).toBe(want))

  it('leaves alone which labels info takes over', () =>
    expect(scoped('info(rate(x[5m]), {version=~".+"})', eu)).toBe('info(rate(x{zone="eu"}[5m]), {version=~".+"})'))

  it('of several values matches these and no others', () =>
    expect(scoped('up', { zone: ['eu', 'u.s'], cluster: ['a"b'] })).toBe('up{zone=~"eu|u\\\\.s",cluster="a\\"b"}'))

  it('quotes names that are none of the usual', () => expect(matcherText({ 'my zone': ['eu'] })).toBe('"my zone"="eu"'))

  it('of nothing changes nothing, not even what cannot be read', () =>
    expect(scoped('sum(', { zone: [] })).toBe('sum('))

  it.each(['sum(up', 'up{a=', 'up up'])('is refused by %s, rather than not added', (expr) =>
    expect(() => scoped(expr, eu)).toThrow(/cannot be read/),
  )
})
