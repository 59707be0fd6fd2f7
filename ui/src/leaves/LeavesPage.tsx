import { Alert, Button, Chip, Group, Text, TextInput } from '@mantine/core'
import { IconDownload, IconSearch } from '@tabler/icons-react'
import { useDeferredValue, useMemo } from 'react'
import { Link, useNavigate } from 'react-router'
import { useAddress } from '../app/useAddress.ts'
import { useTree, type Tree } from '../api/tree.ts'
import { whole } from '../format/numbers.ts'
import { DataTable, type Sorting } from '../parts/DataTable.tsx'
import { Empty } from '../parts/Empty.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Page } from '../parts/Page.tsx'
import { Unread } from '../parts/Unread.tsx'
import { leafColumns } from './columns.tsx'
import { download, leavesCsv } from './csv.ts'
import { short } from '../format/revisions.ts'
import {
  counts,
  inView,
  leafRows,
  problemTitles,
  viewOf,
  worstFirst,
  type Leaves,
  type Problem,
  type Row,
  type View,
} from './rows.ts'
import { parseSearch, searchHelp } from './terms.ts'

export default function LeavesPage() {
  const read = useTree()
  const { data: tree, error, isPending } = read
  return (
    <Page path="leaves">
      <Unread what="The tree" of={read} />
      {isPending && error === null && <Loading what="asking for the tree" />}
      {tree && <List tree={tree} />}
    </Page>
  )
}

function List({ tree }: { tree: Tree }) {
  const { params, set } = useAddress()
  const navigate = useNavigate()
  const q = params.get('q') ?? ''
  const view = viewOf(params.get('state'))
  // Typing must not wait for ten thousand rows.
  const search = useDeferredValue(q)
  const leaves = useMemo(() => leafRows(tree), [tree])
  const total = useMemo(() => counts(leaves.rows), [leaves])
  const found = useMemo(() => parseSearch(search, tree.at), [search, tree.at])
  const shown = useMemo(
    () => worstFirst(leaves.rows.filter((r) => inView(r, view) && found.match(r.node, r.path))),
    [leaves, view, found],
  )
  if (leaves.rows.length === 0) return <NoLeaves tree={tree} />
  const initial: Sorting | undefined = params.get('sort')
    ? { key: params.get('sort') ?? '', down: params.get('down') === '1' }
    : undefined
  return (
    <>
      <Views total={total} view={view} onChange={(v) => set({ state: v === 'all' ? '' : v })} />
      <Group gap="xs" mb="xs" wrap="wrap" align="flex-start">
        <TextInput
          size="xs"
          style={{ flex: '1 1 260px', maxWidth: 620 }}
          leftSection={<IconSearch size={14} />}
          placeholder="zone=eu lag>30s replica=a …"
          aria-label="Search leaves"
          title={searchHelp}
          value={q}
          error={found.error}
          onChange={(e) => set({ q: e.currentTarget.value })}
        />
        <Button
          size="xs"
          variant="default"
          leftSection={<IconDownload size={14} />}
          onClick={() => download('leaves.csv', leavesCsv(shown), 'text/csv')}
          disabled={shown.length === 0}
        >
          CSV
        </Button>
        <Text size="xs" c="dimmed" role="status" style={{ alignSelf: 'center' }}>
          {whole(shown.length)} of {whole(leaves.rows.length)}
          <Usual leaves={leaves} />
        </Text>
      </Group>
      <Untold rows={leaves.rows} />
      <DataTable
        label="Leaves"
        rows={shown}
        columns={leafColumns}
        rowKey={(r) => r.id}
        onOpen={(r) =>
          void navigate(r.node.tier === 'leaf' ? leafLink(r) : `/leaf?name=${encodeURIComponent(r.node.name)}`)
        }
        {...(initial && { initial })}
        onSort={(s) => set({ sort: s.key, down: s.down ? '1' : '' })}
        minWidth="1720px"
      />
    </>
  )
}

const leafLink = (r: Row) => `/leaf?name=${encodeURIComponent(r.node.name)}`

function Usual({ leaves }: { leaves: Leaves }) {
  const parts = []
  if (leaves.version) parts.push(`version ${leaves.version}`)
  if (leaves.revision) parts.push(`revision ${short(leaves.revision)}`)
  return parts.length ? <> · most run {parts.join(', ')}</> : null
}

function Views({ total, view, onChange }: { total: Map<View, number>; view: View; onChange: (v: View) => void }) {
  const problems = Object.keys(problemTitles) as Problem[]
  const views: [View, string, string][] = [
    ['all', 'all', 'Leaves, and zones whose leaves are not known'],
    ['problems', 'problems', problems.map((p) => problemTitles[p].title).join(', ')],
    ['connected', 'connected', 'Leaves that answer'],
    ...problems
      .filter((p) => (total.get(p) ?? 0) > 0 || p === view || p === 'missing')
      .map((p): [View, string, string] => [p, problemTitles[p].title, problemTitles[p].means]),
  ]
  return (
    <Chip.Group value={view} onChange={(v) => onChange(viewOf(v as string))}>
      <Group gap={6} mb="xs" role="group" aria-label="Which leaves">
        {views.map(([v, title, means]) => (
          <Chip key={v} value={v} size="xs" variant="light" title={means}>
            {title} {whole(total.get(v) ?? 0)}
          </Chip>
        ))}
      </Group>
    </Chip.Group>
  )
}

function Untold({ rows }: { rows: Row[] }) {
  const zones = rows.filter((r) => r.node.tier !== 'leaf')
  if (zones.length === 0) return null
  return (
    <Alert
      color="red"
      mb="xs"
      p="xs"
      title={
        zones.length === 1
          ? 'The leaves of a zone are not listed'
          : `The leaves of ${zones.length} zones are not listed`
      }
    >
      {zones.slice(0, 5).map((z) => (
        <Text size="sm" key={z.id}>
          {z.node.name}: {z.why.join('; ')}
          {z.node.leaves > 0 && ` (it had ${whole(z.node.leaves)})`}
        </Text>
      ))}
      {zones.length > 5 && <Text size="sm">and {zones.length - 5} more, in the list</Text>}
    </Alert>
  )
}

function NoLeaves({ tree }: { tree: Tree }) {
  return (
    <Empty title="No leaves yet">
      No leaf is connected to this {tree.self.tier}, and none is known to be missing. A leaf dials its parent: start one
      with <code>pando leaf --parent=ADDRESS</code>.
      {(tree.refused?.length ?? 0) > 0 && (
        <>
          {' '}
          {tree.refused?.length} registrations were refused lately; <Link to="/planet">Planet</Link> tells why.
        </>
      )}
    </Empty>
  )
}
