import { describe, expect, it } from 'vitest'
import type { QueryRow } from '../api/queries.ts'
import { around, filtered, grouped, readView, sumsOf, writeView } from './filter.ts'

const at = (clock: string) => `2026-11-22T${clock}Z`
const row = (id: string, begun: string, duration: number, more: Partial<QueryRow> = {}): QueryRow => ({
  id,
  query: 'up',
  kind: 'query',
  step: 0,
  client: 'grafana',
  begun: at(begun),
  duration,
  state: 'finished',
  series: 1,
  samples: 1,
  bytes: 10,
  asked: 1,
  pruned: 0,
  failed: 0,
  queued: 0,
  replans: 0,
  fragments: 0,
  explained: false,
  ...more,
})

const rows = [
  row('a', '03:10:00', 300, { query: 'sum(up)', client: 'rules' }),
  row('b', '03:11:59', 0.5, { state: 'failed', error: 'too many samples' }),
  row('c', '03:13:00', 2, { failed: 1 }),
  row('d', '04:00:00', 1, { state: 'active', query: ' sum( up )'.trim() }),
]
const ids = (search: string) => filtered(rows, readView(new URLSearchParams(search))).map((q) => q.id)

describe('what of the queries is shown', () => {
  it.each([
    ['', ['a', 'b', 'c', 'd']],
    ['state=failed', ['b']],
    ['slower=1s', ['a', 'c', 'd']],
    ['slower=1x', ['a', 'b', 'c', 'd']],
    ['q=sum+RULES', ['a']],
    ['q=many+samples', ['b']],
    ['from=2026-11-22T03:30:00Z', ['d']],
    ['to=2026-11-22T03:11:00Z', ['a']],
  ])('%s', (search, want) => expect(ids(search)).toEqual(want))

  it('is what ran at a time, whenever it began', () => {
    const { from, to } = around(Date.parse(at('03:12:30')) / 1000, 20)
    expect(ids(writeView({ ...readView(new URLSearchParams()), from, to }).toString())).toEqual(['a'])
  })

  it('is in the address', () => {
    const s = 'q=up&state=failed&slower=1s&from=2026-11-22T03%3A12%3A00.000Z&group=client&sort=bytes.up&id=a&live=0'
    expect(writeView(readView(new URLSearchParams(s))).toString()).toBe(s)
    expect(writeView(readView(new URLSearchParams('from=soon&state=odd&group=odd'))).toString()).toBe('')
  })
})

describe('what queries cost', () => {
  it('is summed', () =>
    expect(sumsOf(rows)).toMatchObject({
      queries: 4,
      active: 1,
      failed: 1,
      partial: 1,
      seconds: 303.5,
      bytes: 40,
      slowest: { id: 'a' },
    }))
  it('is put together by expression and by client', () => {
    expect(grouped(rows, 'client').map((g) => [g.name, g.queries, g.others, g.last])).toEqual([
      ['rules', 1, 1, at('03:10:00')],
      ['grafana', 3, 2, at('04:00:00')],
    ])
    expect(
      grouped(
        [row('x', '01:00:00', 1, { query: 'a  +\n b' }), row('y', '01:00:00', 1, { query: 'a + b' })],
        'expression',
      ),
    ).toHaveLength(1)
  })
})
