import { describe, expect, it, vi } from 'vitest'
import type { Params } from '../api/client.ts'
import { bounds, Completions } from './completion.ts'

/** A tier that notes what it is asked, and answers when told. */
function tier() {
  const asked: {
    path: string
    params: Params
    signal: AbortSignal
    answer: (v: unknown, warnings?: string[]) => void
    fail: (e: unknown) => void
  }[] = []
  const fetch = vi.fn(
    (path: string, params: Params, signal: AbortSignal) =>
      new Promise<never>((answer, fail) => {
        signal.addEventListener('abort', () => fail(new Error('aborted')))
        asked.push({
          path,
          params,
          signal,
          answer: (data, warnings = []) => (answer as (v: unknown) => void)({ data, warnings }),
          fail,
        })
      }),
  )
  let now = 1e12
  const c = new Completions(fetch as never, () => now)
  return { c, asked, pass: (ms: number) => (now += ms) }
}

describe('completions', () => {
  it('fetch a list once, however often it is asked for, until it is old', async () => {
    const { c, asked, pass } = tier()
    const two = [c.metricNames(), c.metricNames('u')]
    asked[0]?.answer(['up'])
    expect(await Promise.all(two)).toEqual([['up'], ['up']])
    await c.metricNames()
    expect(asked).toHaveLength(1)
    pass(bounds.fresh + 300_000)
    void c.metricNames()
    expect(asked).toHaveLength(2)
  })

  it('ask for what begins alike where there are more names than are fetched', async () => {
    const { c, asked } = tier()
    const all = c.metricNames('http.x')
    asked[0]?.answer(Array.from({ length: bounds.names }, (_, i) => 'n' + i))
    await vi.waitFor(() => expect(asked).toHaveLength(2))
    expect(asked[1]?.params).toMatchObject({ 'match[]': ['{__name__=~"http\\\\.x.*"}'], limit: bounds.values })
    asked[1]?.answer(['http.x1'])
    expect(await all).toEqual(['http.x1'])
  })

  it('end what nobody waits for any more, and are empty then', async () => {
    const { c, asked } = tier()
    const old = c.labelValues('a', 'x')
    const next = c.labelValues('b', 'x')
    expect(asked[0]?.signal.aborted).toBe(true)
    expect(await old).toEqual([])
    asked[1]?.answer(['1'])
    expect(await next).toEqual(['1'])
  })

  it('ask again after a failure', async () => {
    const { c, asked } = tier()
    const failed = c.labelNames('x')
    asked[0]?.fail(new Error('503'))
    expect(await failed).toEqual([])
    void c.labelNames('x')
    expect(asked).toHaveLength(2)
  })

  it('tell who lacks in a list, and do not keep it', async () => {
    const { c, asked, pass } = tier()
    const told = vi.fn()
    c.subscribe(told)
    const partial = c.metricNames()
    asked[0]?.answer(['up'], ['partial answer: leaf "eu-1" did not answer: timeout', 'results truncated due to limit'])
    expect(await partial).toEqual(['up'])
    expect(c.lacks()).toEqual(['leaf eu-1'])
    pass(bounds.lacking)
    const all = c.metricNames()
    expect(asked).toHaveLength(2)
    asked[1]?.answer(['down', 'up'])
    expect(await all).toEqual(['down', 'up'])
    expect(c.lacks()).toEqual([])
    expect(told).toHaveBeenCalledTimes(2)
    pass(bounds.lacking)
    await c.metricNames()
    expect(asked).toHaveLength(2)
  })

  it('are restricted to the metric, the other matchers and the scope', () => {
    const { c, asked } = tier()
    c.scope = 'zone="eu"'
    c.operator = (t) => (t === 7 ? '=~' : '=')
    void c.labelValues('pod', 'x', [
      { type: 1, name: 'pod', value: 'half' },
      { type: 7, name: 'job', value: 'a|"b' },
      { type: 1, name: 'empty', value: '' },
    ])
    expect(asked[0]?.path).toBe('/api/v1/label/pod/values')
    expect(asked[0]?.params['match[]']).toEqual(['{__name__="x",job=~"a|\\"b",zone="eu"}'])
  })

  it.each([
    ['a""b', '"a\\"\\"b"'],
    ['\\"', '"\\""'],
    ["it\\'s", '"it\'s"'],
    ['a\\d+', '"a\\\\d+"'],
    ['\\\\d', '"\\\\d"'],
  ])('write what stands between any quotes, %s, as %s', (written, want) => {
    const { c, asked } = tier()
    void c.labelValues('pod', '', [{ type: 1, name: 'job', value: written }])
    expect(asked[0]?.params['match[]']).toEqual([`{job=${want}}`])
  })

  it('do not have names wait for what they mean', async () => {
    const { c, asked } = tier()
    expect(await c.metricMetadata()).toEqual({})
    asked[0]?.answer({ up: [{ type: 'gauge', help: 'h', unit: '' }] })
    await vi.waitFor(async () => expect(await c.metricMetadata()).toHaveProperty('up'))
    expect(asked).toHaveLength(1)
  })
})
