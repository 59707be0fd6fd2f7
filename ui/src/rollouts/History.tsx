import { Alert, Text } from '@mantine/core'
import { useHistory, type Event } from '../api/rollouts.ts'
import { DataTable, type Column } from '../parts/DataTable.tsx'
import { Empty } from '../parts/Empty.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Unread } from '../parts/Unread.tsx'
import { When } from '../parts/When.tsx'
import { short } from '../format/revisions.ts'

const columns: Column<Event>[] = [
  { key: 'at', title: 'When', width: '170px', render: (e) => <When t={e.at} />, sort: (e) => Date.parse(e.at) },
  { key: 'cluster', title: 'Cluster', width: 'minmax(90px, 1fr)', render: (e) => e.cluster, sort: (e) => e.cluster },
  {
    key: 'what',
    title: 'What',
    width: '130px',
    render: (e) => (
      <Health level={e.what === 'rejected' || e.what === 'rollback' ? 'bad' : e.what === 'good' ? 'good' : 'off'}>
        {e.what}
      </Health>
    ),
    sort: (e) => e.what,
  },
  {
    key: 'revision',
    title: 'Revision',
    width: '130px',
    render: (e) => <code>{short(e.revision)}</code>,
    sort: (e) => e.revision,
  },
  { key: 'why', title: 'Why', width: 'minmax(160px, 4fr)', render: (e) => <span title={e.why}>{e.why}</span> },
]

// So many events are asked for.
const latest = 500

/** What all loops did, newest first. */
export function History() {
  const read = useHistory(latest)
  const { data } = read
  const note = <Unread what="The history" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the history" />
  const events = data.events ?? []
  return (
    <>
      {note}
      {(data.warnings ?? []).map((w) => (
        <Alert key={w} color="orange" my="xs" role="alert">
          {w}
        </Alert>
      ))}
      {events.length === 0 ? (
        <Empty title="Nothing has happened yet">What the loops decide and do is kept here.</Empty>
      ) : (
        <>
          {events.length >= latest && (
            <Text size="xs" c="dimmed" mb={4}>
              The latest {latest} events; there may be older ones.
            </Text>
          )}
          <DataTable
            label="History"
            rows={events}
            columns={columns}
            rowKey={(e) => e.at + e.cluster + e.what + e.revision}
            minWidth="720px"
          />
        </>
      )}
    </>
  )
}
