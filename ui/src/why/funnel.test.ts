import { describe, expect, it } from 'vitest'
import { conclusion, noSeries, runFunnel, type Asker, type Funnel, type Near } from './funnel.ts'
import type { Matcher, Selector } from './selectors.ts'

type Series = Record<string, string>

const series: Series[] = [
  { __name__: 'up', zone: 'eu', cluster: 'eu-1', job: 'checkout' },
  { __name__: 'up', zone: 'eu', cluster: 'eu-2', job: 'checkout' },
  { __name__: 'up', zone: 'us', cluster: 'us-1', job: 'cart' },
  { __name__: 'other', zone: 'us', cluster: 'us-1', job: 'batch' },
]

// Reads equality matchers back out of a selector.
const matching = (text: string) => {
  const name = /^(?:count\(.*?)?(?:last_over_time\()?([a-z_]+)[{[)]/.exec(text)?.[1] ?? /^([a-z]+)$/.exec(text)?.[1]
  const pairs = [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, k, v]) => [k, v] as const)
  return series.filter(
    (s) => (!name || name === 'last_over_time' || s.__name__ === name) && pairs.every(([k, v]) => s[k as string] === v),
  )
}

// Missing are those who lack in counts, late those who lack in what is asked after them.
function world(missing: string[] = [], late: string[] = missing) {
  const names = (found: string[]) => Promise.resolve({ names: [...new Set(found)], missing: late })
  const asked: string[] = []
  const read = (expr: string) => /last_over_time\((.*)\[/.exec(expr)?.[1] ?? ''
  const ask: Asker = {
    count: (expr) => {
      asked.push(expr)
      const found = matching(read(expr) + '{'.slice(read(expr).includes('{') ? 1 : 0))
      return Promise.resolve({
        value: expr.includes('count by') ? new Set(found.map((s) => s.cluster)).size : found.length,
        missing,
      })
    },
    values: (label, match) => names(matching(match).flatMap((s) => s[label] ?? [])),
    labels: (match) => names(matching(match).flatMap((s) => Object.keys(s))),
    any: (match) => Promise.resolve({ found: matching(match).length > 0, missing: late }),
  }
  return { ask, asked }
}

const eq = (name: string, value: string): Matcher => ({ name, type: '=', value })
const selector = (...matchers: Matcher[]): Selector => ({ text: 'x', matchers, window: 300_000, offset: 0 })
const run = (ask: Asker, ...ms: Matcher[]) => runFunnel(selector(...ms), ask, () => {})
const figures = (f: Funnel) => f.steps.map((s) => [s.matcher.name, s.series, s.clusters])

describe('the funnel of a selector', () => {
  it('ends at the matcher that leaves nothing, and tells what could be meant', async () => {
    const { ask, asked } = world()
    const f = await run(ask, eq('__name__', 'up'), eq('zone', 'eu'), eq('job', 'chekout'), eq('cluster', 'eu-1'))
    expect(figures(f)).toEqual([
      ['__name__', 3, 3],
      ['zone', 2, 2],
      ['job', 0, 0],
    ])
    expect(f.untried).toEqual([eq('cluster', 'eu-1')])
    expect(f.near).toEqual({ values: ['checkout'], of: 1, alone: false, earlier: false, missing: [] })
    expect(conclusion(f)).toMatchObject({
      level: 'bad',
      text: 'job="chekout" is what leaves nothing: the matchers before it still select 2 series.',
    })
    // Two counts a step, and none for what comes after.
    expect(asked).toHaveLength(6)
  })

  it('tells that other series have the value', async () => {
    const f = await run(world().ask, eq('__name__', 'up'), eq('job', 'batch'))
    expect(f.near).toMatchObject({ alone: true, values: ['checkout', 'cart'] })
  })

  it('tells that no series has the label', async () => {
    const f = await run(world().ask, eq('__name__', 'up'), eq('jobs', 'cart'))
    expect(f.near).toMatchObject({ of: 0, labels: ['job'] })
  })

  it('finds a name like the one wanted', async () => {
    const f = await run(world().ask, eq('__name__', 'othr'))
    expect(f.near).toMatchObject({ values: ['other', 'up'], of: 2 })
    expect(conclusion(f).text).toBe('No series has __name__="othr".')
  })

  it('has no such matcher where something is left', async () => {
    const f = await run(world().ask, eq('__name__', 'up'), eq('zone', 'eu'))
    expect(f.near).toBeUndefined()
    expect(conclusion(f)).toEqual({ level: 'good', text: 'It selects 2 series of 2 clusters.' })
  })

  it('does not blame a matcher while a child is missing', async () => {
    const f = await run(world(['leaf eu-3']).ask, eq('__name__', 'up'), eq('job', 'x'))
    expect(conclusion(f)).toMatchObject({ level: 'warn' })
    expect(conclusion(f).text).toContain('it may be on leaf eu-3')
  })

  it('does not say of what was not found that it is nowhere, whoever lacks and wherever', async () => {
    const ms = [eq('__name__', 'up'), eq('job', 'x')]
    const whole = await run(world().ask, ...ms)
    expect([whole.near?.alone, noSeries(whole.near as Near)]).toEqual([false, 'No series'])
    for (const ask of [world(['leaf eu-3'], []).ask, world([], ['leaf eu-3']).ask]) {
      const f = await run(ask, ...ms)
      expect(f.near).toMatchObject({ alone: false, missing: ['leaf eu-3'] })
      expect(noSeries(f.near as Near)).toBe('Of those who answered no series')
    }
  })

  it('tells of each step as it is known', async () => {
    const told: number[] = []
    await runFunnel(selector(eq('__name__', 'up'), eq('zone', 'eu')), world().ask, (f) => told.push(f.steps.length))
    expect(told).toEqual([1, 2])
  })
})
