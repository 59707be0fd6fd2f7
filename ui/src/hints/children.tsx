import type { ChildHint } from '../api/hints.ts'
import { bytes, count, duration, percent } from '../format/numbers.ts'
import type { Column } from '../parts/DataTable.tsx'
import { Health } from '../parts/Health.tsx'
import { passedInVain, sparedShare, total } from './sums.ts'

/** The columns of the list of children. */
export const childColumns: Column<ChildHint>[] = [
  {
    key: 'name',
    title: 'Child',
    width: 'minmax(200px, 2fr)',
    render: (c) => <span title={c.name}>{c.name}</span>,
    sort: (c) => c.name,
  },
  {
    key: 'state',
    title: 'Hint',
    width: '120px',
    render: (c) => (
      <span title={c.unsynced}>
        <Health level={c.synced ? 'good' : c.connected ? 'warn' : 'bad'}>
          {c.synced ? 'prunes' : (c.reason ?? 'unused')}
        </Health>
      </span>
    ),
    sort: (c) => (c.synced ? 'prunes' : (c.reason ?? 'unused')),
  },
  {
    key: 'spared',
    title: 'Spared',
    hint: 'Requests that its hint made unnecessary',
    width: '80px',
    numeric: true,
    render: (c) => count(total(c.uses).spared),
    sort: (c) => total(c.uses).spared,
  },
  {
    key: 'saved',
    title: 'Saved',
    hint: 'Spared of all requests that there would have been',
    width: '76px',
    numeric: true,
    render: (c) => percent(sparedShare(total(c.uses))),
    sort: (c) => sparedShare(total(c.uses)),
  },
  {
    key: 'asked',
    title: 'Asked',
    width: '76px',
    numeric: true,
    render: (c) => count(total(c.uses).asked),
    sort: (c) => total(c.uses).asked,
  },
  {
    key: 'vain',
    title: 'In vain',
    hint: 'Of the requests whose answers tell: those of which nothing was selected',
    width: '76px',
    numeric: true,
    render: (c) => percent(total(c.uses).told > 0 ? total(c.uses).emptyRate : undefined),
    sort: (c) => (total(c.uses).told > 0 ? total(c.uses).emptyRate : undefined),
  },
  {
    key: 'wrong',
    title: 'Let through',
    hint: 'Measured false positives: asked in vain, of all requests that its hint should have spared',
    width: '96px',
    numeric: true,
    render: (c) => percent(passedInVain(total(c.uses))),
    sort: (c) => passedInVain(total(c.uses)),
  },
  {
    key: 'rate',
    title: 'Estimated',
    hint: 'The share of absent fingerprints that seem to be there, estimated from how full the filter is',
    width: '88px',
    numeric: true,
    render: (c) => percent(c.hint?.falsePositiveRate),
    sort: (c) => c.hint?.falsePositiveRate,
  },
  {
    key: 'bytes',
    title: 'Size',
    width: '88px',
    numeric: true,
    render: (c) => bytes(c.hint?.bytes),
    sort: (c) => c.hint?.bytes,
  },
  {
    key: 'prints',
    title: 'Fingerprints',
    width: '100px',
    numeric: true,
    render: (c) => count(c.hint?.fingerprints),
    sort: (c) => c.hint?.fingerprints,
  },
  {
    key: 'fill',
    title: 'Full',
    hint: 'The share of the room of its filter that is taken',
    width: '68px',
    numeric: true,
    render: (c) => percent(c.hint?.fill),
    sort: (c) => c.hint?.fill,
  },
  {
    key: 'windows',
    title: 'Windows',
    hint: 'Spans of time by which the hint is kept',
    width: '80px',
    numeric: true,
    render: (c) => count(c.hint?.sections?.length),
    sort: (c) => c.hint?.sections?.length,
  },
  {
    key: 'age',
    title: 'Age',
    hint: 'Since its latest update',
    width: '84px',
    numeric: true,
    render: (c) => duration(c.hint?.age),
    sort: (c) => c.hint?.age,
  },
]
