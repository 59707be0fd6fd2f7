import { describe, expect, it } from 'vitest'
import { csv, leavesCsv } from './csv.ts'
import { counts, inView, leafRows, viewOf, worstFirst } from './rows.ts'
import { parseSearch } from './terms.ts'
import { before, at, leaf, root, zone } from './testtree.ts'

const rowsOf = (...leaves: ReturnType<typeof leaf>[]) => leafRows(root([zone('eu', leaves)])).rows

describe('what is wrong with leaves', () => {
  it.each([
    ['nothing', {}, []],
    ['it is away', { state: 'missing' as const, error: 'gone' }, ['missing']],
    ['its samples are old', { maxt: before(61) }, ['late']],
    ['instant queries do not find them', { maxt: before(301) }, ['dark']],
    [
      'its hint does not prune',
      { hint: { synced: false, fingerprints: 1, bytes: 1, age: 99, falsePositiveRate: 0, reason: 'late' } },
      ['hint'],
    ],
    ['it has a gap that lasts', { gaps: [{ start: before(10) }] }, ['gaps']],
    ['it had a long gap', { gaps: [{ start: before(400), end: before(300) }] }, ['gaps']],
    ['it had a short gap', { gaps: [{ start: before(320), end: before(300) }] }, []],
    ['it runs another version', { version: '1.3.0' }, ['version']],
    ['it could not load its configuration', { reloadFailed: true }, ['reload']],
  ])('%s', (_, more, problems) => {
    const rows = rowsOf(leaf('eu', 'a', more), leaf('eu', 'b'), leaf('eu', 'c'))
    expect(rows[0]?.problems).toEqual(problems)
    expect(rows[1]?.problems).toEqual([])
  })

  it('tells of a revision unlike most, and not of one that is not told', () => {
    const rows = rowsOf(
      leaf('eu', 'a', { revision: 'new' }),
      leaf('eu', 'b', { revision: 'new' }),
      leaf('eu', 'c', { revision: 'old' }),
      leaf('eu', 'd'),
    )
    expect(rows.map((r) => r.problems)).toEqual([[], [], ['revision'], []])
    expect(rows[2]?.why).toEqual(['revision old, most run new'])
  })

  it('lists zones whose leaves are not known, so that none is forgotten', () => {
    const t = root([
      zone('eu', [], { state: 'missing', error: 'lost', leaves: 3 }),
      zone('us', [], { error: 'soft deadline passed (2s)' }),
      zone('asia', []),
    ])
    expect(leafRows(t).rows.map((r) => [r.node.name, r.problems])).toEqual([
      ['zone=eu', ['missing', 'untold']],
      ['zone=us', ['untold']],
    ])
  })

  it('lists the leaf itself on a leaf', () => {
    const t = root([])
    expect(leafRows({ ...t, self: leaf('eu', 'a', { state: 'self' }) }).rows).toHaveLength(1)
  })

  it('puts the worst first and leaves the others in their order', () => {
    const rows = rowsOf(
      leaf('eu', 'a'),
      leaf('eu', 'b', { maxt: before(100) }),
      leaf('eu', 'c', { state: 'missing' }),
      leaf('eu', 'd'),
    )
    expect(worstFirst(rows).map((r) => r.node.labels?.cluster)).toEqual(['c', 'b', 'a', 'd'])
  })

  it('counts by view', () => {
    const rows = rowsOf(leaf('eu', 'a'), leaf('eu', 'b', { maxt: before(100) }), leaf('eu', 'c', { state: 'missing' }))
    const n = counts(rows)
    expect([n.get('all'), n.get('problems'), n.get('connected'), n.get('late'), n.get('missing')]).toEqual([
      3, 2, 2, 1, 1,
    ])
    expect(rows.filter((r) => inView(r, viewOf('problems')))).toHaveLength(2)
    expect(viewOf('nonsense')).toBe('all')
  })
})

describe('searching', () => {
  const n = leaf('eu', 'eu-1', { replica: 'a', series: 2_000_000, maxt: before(45), rtt: 0.2 })
  it.each([
    ['', true],
    ['EU-1', true],
    ['asia', false],
    ['zone=eu', true],
    ['zone=eu cluster=eu-2', false],
    ['zone!=us', true],
    ['cluster=~eu-.*', true],
    ['cluster=~eu', false],
    ['cluster!~us.*', true],
    ['replica=a shard=', true],
    ['"zone=eu"', true],
    ['lag>30s', true],
    ['lag>1m', false],
    ['series>1M', true],
    ['series>=2M series<3M', true],
    ['rtt>100ms', true],
    ['hint=prunes state=connected health=good', true],
    ['revision=', true],
  ])('%s', (text, found) => {
    const s = parseSearch(text, at)
    expect(s.error).toBeUndefined()
    expect(s.match(n, ['zone=eu'])).toBe(found)
  })
  it.each([
    ['cluster=~(', '( is no regular expression'],
    ['lag>soon', 'soon is no number or duration'],
    ['zone>3', 'zone is no number'],
  ])('says what cannot be: %s', (text, error) => expect(parseSearch(text, at).error).toContain(error))
})

describe('CSV', () => {
  it('quotes what needs it, and makes no formulas', () =>
    expect(
      csv(
        ['a', 'b'],
        [
          ['x,"y"', 1.5],
          ['=cmd()', undefined],
        ],
      ),
    ).toBe('a,b\r\n"x,""y""",1.5\r\n\'=cmd(),\r\n'))
  it('has a column per label', () => {
    const [head, first] = leavesCsv(rowsOf(leaf('eu', 'eu-1'))).split('\r\n')
    expect(head).toMatch(/^name,tier,path,cluster,zone,shard,replica,state/)
    expect(first).toMatch(/^"zone=eu,cluster=eu-1",leaf,zone=eu,eu-1,eu,,,connected/)
  })
})
