import { bytes, count, duration, none } from '../format/numbers.ts'
import type { Column } from '../parts/DataTable.tsx'
import { Health } from '../parts/Health.tsx'
import { Labels } from '../parts/Labels.tsx'
import { When } from '../parts/When.tsx'
import classes from './columns.module.css'
import { short } from '../format/revisions.ts'
import { type Row } from './rows.ts'
import { hintMeans, lagMeans, standings } from './standing.ts'

/** Who the member is: its labels, and which shard and replica of them. */
function Identity({ row }: { row: Row }) {
  const { labels, shard, replica, name, tier } = row.node
  return (
    <span className={classes.identity}>
      {tier !== 'leaf' && <span className={classes.tag}>{tier}</span>}
      <span className={classes.labels}>
        {labels && Object.keys(labels).length > 0 ? <Labels labels={labels} /> : name}
      </span>
      {shard !== undefined && shard !== '' && <span className={classes.tag}>shard {shard}</span>}
      {replica !== undefined && replica !== '' && <span className={classes.tag}>replica {replica}</span>}
    </span>
  )
}

function State({ row }: { row: Row }) {
  const s = standings[row.standing]
  const wrong = row.problems.length > 0 && s.level === 'good'
  return (
    <Health level={wrong ? 'warn' : s.level}>
      {s.title}
      {row.standing === 'missing' && row.node.since && (
        <>
          {' for '}
          <When t={row.node.since} ago />
        </>
      )}
    </Health>
  )
}

const shortened = (text: string | undefined) => (text ? short(text) : none)

/** The columns of the list of leaves. */
export const leafColumns: Column<Row>[] = [
  {
    key: 'name',
    title: 'Leaf',
    width: 'minmax(250px, 2fr)',
    render: (r) => <Identity row={r} />,
    tip: (r) => r.node.name,
    sort: (r) => r.node.name,
  },
  {
    key: 'state',
    title: 'State',
    width: '172px',
    render: (r) => <State row={r} />,
    tip: (r) => r.why.join('\n') || standings[r.standing].means,
    sort: (r) => ['missing', 'dark', 'late', 'empty', 'good'].indexOf(r.standing),
  },
  {
    key: 'problems',
    title: 'What is wrong',
    width: 'minmax(240px, 2.4fr)',
    render: (r) => r.why.join('; '),
    tip: (r) => r.why.join('\n'),
    sort: (r) => (r.problems.length ? r.why.join('; ') : undefined),
  },
  {
    key: 'path',
    title: 'Below',
    hint: 'The tiers between this one and the leaf',
    width: 'minmax(110px, .8fr)',
    render: (r) => r.path.join(' > ') || 'this tier',
    tip: (r) => r.path.join(' > '),
    sort: (r) => r.path.join(' > '),
  },
  {
    key: 'series',
    title: 'Series',
    hint: 'Series in the head',
    width: '72px',
    numeric: true,
    render: (r) => count(r.node.series),
    sort: (r) => r.node.series,
  },
  {
    key: 'rate',
    title: 'Samples/s',
    hint: 'Samples appended a second, over the last minute or so',
    width: '88px',
    numeric: true,
    render: (r) => count(r.node.sampleRate),
    sort: (r) => r.node.sampleRate,
  },
  {
    key: 'lag',
    title: 'Lag',
    hint: lagMeans,
    width: '80px',
    numeric: true,
    render: (r) => duration(r.lag),
    sort: (r) => r.lag,
  },
  {
    key: 'rtt',
    title: 'Round trip',
    hint: 'The latest round trip between the leaf and the tier above it',
    width: '88px',
    numeric: true,
    render: (r) => duration(r.node.rtt),
    sort: (r) => r.node.rtt,
  },
  {
    key: 'gaps',
    title: 'Gaps',
    hint: 'How long samples may have been missed, together, since the oldest sample',
    width: '80px',
    numeric: true,
    render: (r) => (r.node.gaps?.length ? duration(r.gaps) : '0s'),
    sort: (r) => r.gaps,
  },
  {
    key: 'hint',
    title: 'Hint',
    hint: 'Whether its field hint prunes, or why not',
    width: '128px',
    render: (r) => <Health level={r.hint === 'prunes' ? 'good' : r.hint === 'none' ? 'off' : 'warn'}>{r.hint}</Health>,
    tip: (r) => hintMeans(r.hint),
    sort: (r) => r.hint,
  },
  {
    key: 'hintBytes',
    title: 'Hint size',
    width: '88px',
    numeric: true,
    render: (r) => bytes(r.node.hint?.bytes),
    sort: (r) => r.node.hint?.bytes,
  },
  {
    key: 'hintAge',
    title: 'Hint age',
    hint: 'Since the latest update of its hint',
    width: '80px',
    numeric: true,
    render: (r) => duration(r.node.hint?.age),
    sort: (r) => r.node.hint?.age,
  },
  {
    key: 'version',
    title: 'Version',
    width: '88px',
    render: (r) => shortened(r.node.version),
    tip: (r) => r.node.version,
    sort: (r) => r.node.version || undefined,
  },
  {
    key: 'revision',
    title: 'Revision',
    hint: 'Of the configuration in effect there, as it was delivered; – if it has none, or its version does not tell',
    width: '96px',
    render: (r) => shortened(r.node.revision),
    tip: (r) => r.node.revision,
    sort: (r) => r.node.revision || undefined,
  },
]
