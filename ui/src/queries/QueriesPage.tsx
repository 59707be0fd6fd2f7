import { Button, Switch, Text } from '@mantine/core'
import { IconRefresh } from '@tabler/icons-react'
import { useCallback, useMemo, useState } from 'react'
import { useSearchParams } from 'react-router'
import { keptBytes, keptQueries, useQueries, type QueryRow } from '../api/queries.ts'
import { bytes, count, duration, whole } from '../format/numbers.ts'
import { DataTable, type Sorting } from '../parts/DataTable.tsx'
import { Empty } from '../parts/Empty.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Page } from '../parts/Page.tsx'
import { Stats } from '../parts/Stats.tsx'
import { Unread } from '../parts/Unread.tsx'
import { When } from '../parts/When.tsx'
import { Cancel } from './Cancel.tsx'
import { groupColumns, queryColumns } from './columns.tsx'
import { Detail } from './Detail.tsx'
import { filtered, grouped, readView, sumsOf, writeView, type View } from './filter.ts'
import { Filters } from './Filters.tsx'
import { Timeline } from './Timeline.tsx'

const interval = 2000

/** What runs in this tier, and what ran. */
export default function QueriesPage() {
  const [search, setSearch] = useSearchParams()
  const view = useMemo(() => readView(search), [search])
  // Typing does not fill the history of the browser.
  const change = useCallback(
    (part: Partial<View>) => setSearch((old) => writeView({ ...readView(old), ...part }), { replace: true }),
    [setSearch],
  )
  const q = useQueries(view.live ? interval : false)
  return (
    <Page
      path="queries"
      actions={
        <>
          <Switch label="Live" checked={view.live} onChange={(e) => change({ live: e.currentTarget.checked })} />
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<IconRefresh size={14} />}
            onClick={() => void q.refetch()}
          >
            Refresh
          </Button>
        </>
      }
    >
      <Unread what="The list of queries" of={q} />
      {q.data ? (
        <List
          all={[...q.data.active, ...q.data.recent]}
          past={q.data.recent}
          at={q.dataUpdatedAt}
          view={view}
          change={change}
        />
      ) : (
        !q.error && <Loading what="reading the list of queries" />
      )}
    </Page>
  )
}

interface ListProps {
  all: QueryRow[]
  past: QueryRow[]
  /** When the rows were read, ms. */
  at: number
  view: View
  change: (v: Partial<View>) => void
}

function List({ all, past, at, view, change }: ListProps) {
  const [canceling, setCanceling] = useState('')
  const rows = useMemo(() => filtered(all, view), [all, view])
  const sums = useMemo(() => sumsOf(rows), [rows])
  const columns = useMemo(() => queryColumns((q) => setCanceling(q.id)), [])
  const selected = all.find((q) => q.id === view.selected)
  const canceled = all.find((q) => q.id === canceling && q.state === 'active')
  const select = (id: string) => change({ selected: id })
  const oldest = past.at(-1)
  return (
    <>
      <Filters view={view} change={change} />
      <Stats
        stats={[
          { label: 'Running', value: count(sums.active) },
          { label: 'Shown', value: `${whole(rows.length)} of ${whole(all.length)}` },
          { label: 'All took', value: duration(sums.seconds), hint: 'The sum of how long the queries shown took' },
          { label: 'Moved', value: bytes(sums.bytes), hint: 'Bytes between all tiers, for the queries shown' },
          { label: 'Failed', value: count(sums.failed) },
          { label: 'Partial', value: count(sums.partial), hint: 'Answers from which a child was missing' },
          { label: 'Canceled', value: count(sums.canceled) },
        ]}
      />
      {all.length === 0 ? (
        <Empty title="Nobody has asked this tier anything yet">
          Queries appear here as they run: from this console, from Grafana, from rules of other tiers. Each keeps what
          it took, how many children were asked and pruned, and who was missing.
        </Empty>
      ) : (
        <Timeline
          rows={rows}
          from={view.from}
          to={view.to}
          now={at}
          selected={view.selected}
          select={select}
          narrow={(from, to) => change({ from, to })}
        />
      )}
      {selected && <Detail q={selected} close={() => select('')} cancel={() => setCanceling(selected.id)} />}
      {view.selected && !selected && (
        <Text size="sm" mb="sm" role="status">
          Query {view.selected} is not among those that are kept.
        </Text>
      )}
      {all.length > 0 && <Table view={view} change={change} rows={rows} columns={columns} select={select} />}
      <Text size="xs" c="dimmed" mt="xs">
        {whole(past.length)} past queries are kept
        {oldest && (
          <>
            , the oldest of <When t={oldest.begun} />
          </>
        )}
        . This tier keeps {whole(keptQueries)}, in {bytes(keptBytes)} at most: its latest, and of each hour before those
        the slowest and those that moved most. All others are in the query log, if <code>--query.log-file</code> is set.
        Queries that were asked of other tiers are listed there.
      </Text>
      {canceled && <Cancel q={canceled} close={() => setCanceling('')} />}
    </>
  )
}

interface TableProps {
  view: View
  change: (v: Partial<View>) => void
  rows: QueryRow[]
  columns: ReturnType<typeof queryColumns>
  select: (id: string) => void
}

function Table({ view, change, rows, columns, select }: TableProps) {
  const by = view.group
  const groups = useMemo(() => (by ? grouped(rows, by) : []), [rows, by])
  const sort = (s: Sorting) => change({ sort: s })
  if (!by) {
    return (
      <DataTable
        key="each"
        label="Queries"
        rows={rows}
        columns={columns}
        rowKey={(q) => q.id + q.begun}
        onOpen={(q) => select(q.id)}
        initial={view.sort}
        onSort={sort}
        minWidth="1140px"
      />
    )
  }
  return (
    <DataTable
      key={by}
      label={`Queries by ${by}`}
      rows={groups}
      columns={groupColumns(by)}
      rowKey={(g) => g.name}
      onOpen={(g) => change({ group: '', text: g.name, sort: { key: 'took', down: true } })}
      initial={view.sort}
      onSort={sort}
      minWidth="1080px"
    />
  )
}
