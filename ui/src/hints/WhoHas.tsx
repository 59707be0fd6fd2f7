import { Alert, Anchor, Button, Group, Paper, Text, Title } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { Link } from 'react-router'
import { ApiError } from '../api/client.ts'
import type { Tree } from '../api/tree.ts'
import { useSettings } from '../app/settings.tsx'
import { count, whole } from '../format/numbers.ts'
import { DataTable, type Column } from '../parts/DataTable.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { When } from '../parts/When.tsx'
import { Sideways } from '../leaf/Sideways.tsx'
import classes from '../leaf/leaf.module.css'
import { readTimes } from './times.ts'
import { holdersOf, verify, whoHas, type Asked, type Holder, type Holders, type PrunedPart } from './whohas.ts'
import { WhoHasForm } from './WhoHasForm.tsx'

/** What is asked, as the address has it; times as people write them. */
export interface Wanted {
  selector: string
  start: string
  end: string
}

/** Which leaves may hold series of a selector, now or in a span of time, and what rules out the others. */
export function WhoHas({ wanted, onWanted, tree }: { wanted: Wanted; onWanted: (w: Wanted) => void; tree: Tree }) {
  const { zone } = useSettings()
  const found = useQuery({
    queryKey: ['who-has', wanted, zone],
    queryFn: ({ signal }) => {
      const read = readTimes(wanted.start, wanted.end, zone, Date.now())
      if (!read.ok) throw new Error(`${read.field === 'start' ? 'From' : 'To'} cannot be read: ${read.error}`)
      return whoHas(wanted.selector, read.times, signal)
    },
    enabled: wanted.selector !== '',
    staleTime: Infinity,
    retry: false,
  })
  // Of the plan as it was, and of the tree as it is: who is away now is told as it changes.
  const holders = useMemo(() => found.data && holdersOf(found.data.plan, tree), [found.data, tree])
  const ask = (w: Wanted) => {
    if (w.selector === wanted.selector && w.start === wanted.start && w.end === wanted.end) void found.refetch()
    else onWanted(w)
  }
  return (
    <Paper withBorder p="sm" mb="md" component="section" aria-label="Who has it">
      <Title order={2} size="h5">
        Who has it?
      </Title>
      <WhoHasForm key={JSON.stringify(wanted)} wanted={wanted} busy={found.isFetching} ask={ask} />
      {wanted.selector === '' && (
        <Text size="sm" c="dimmed">
          Enter a selector to see which leaves may hold series of it. Hints answer this for the whole planet without
          asking a leaf.
        </Text>
      )}
      {found.isFetching && <Loading what="asking all tiers for their plans" />}
      {found.error !== null && !found.isFetching && <NotFound error={found.error} retry={() => void found.refetch()} />}
      {found.data && holders && wanted.selector !== '' && (
        <Result key={String(found.dataUpdatedAt)} asked={found.data} found={holders} />
      )}
    </Paper>
  )
}

function NotFound({ error, retry }: { error: Error; retry: () => void }) {
  if (error instanceof ApiError) return <Failure what="Who has it is not known" error={error} retry={retry} />
  return (
    <Alert color="orange" p="xs">
      {error.message}
    </Alert>
  )
}

function Result({ asked, found }: { asked: Asked; found: Holders }) {
  const asking = useMutation({ mutationFn: () => verify(asked, found.leaves) })
  const leaves = asking.data?.leaves ?? found.leaves
  const { start, end } = asked.times
  const verified = asking.data !== undefined
  const columns = useMemo(() => columnsOf(verified), [verified])
  const withData = leaves.filter((l) => (l.series ?? 0) > 0).length
  const unknown = leaves.filter((l) => l.series === undefined).length
  return (
    <>
      <Group gap="xs" mb="xs">
        <Text size="sm" role="status">
          {leaves.length === 0
            ? found.own.length > 0
              ? 'No leaf is asked for it'
              : 'No leaf can hold it'
            : `${whole(leaves.length)} ${leaves.length === 1 ? 'leaf' : 'leaves'} may hold it`}
          {found.untold.length > 0 ? ', of those that told' : leaves.length > 0 ? '; all others cannot' : ''}.
          {verified &&
            ` ${whole(withData)} ${withData === 1 ? 'does' : 'do'}${unknown > 0 ? `, ${whole(unknown)} did not say` : ''}.`}{' '}
          <Text span size="sm" c="dimmed">
            {start === undefined ? (
              <>
                At <When t={end * 1000} />.
              </>
            ) : (
              <>
                From <When t={start * 1000} /> to <When t={end * 1000} />.
              </>
            )}
          </Text>
        </Text>
        {leaves.length > 0 && (
          <Button
            size="compact-sm"
            variant="default"
            loading={asking.isPending}
            onClick={() => asking.mutate()}
            title="Asks these leaves how many series each has"
          >
            {verified ? 'Ask again' : 'Ask them how many'}
          </Button>
        )}
      </Group>
      {asking.error !== null && <Failure what="How many series there are is not known" error={asking.error} />}
      {asking.data?.warnings.map((w) => (
        <Alert key={w} color="orange" p="xs" mb={4}>
          <Text size="sm">{w}</Text>
        </Alert>
      ))}
      {found.own.map((name) => (
        <Text key={name} size="sm" mb="xs">
          <b>{name}</b> answers for that name itself, from what its rules record or its rollups keep.
        </Text>
      ))}
      {found.untold.length > 0 && (
        <Alert color="orange" p="xs" mb="xs" title="Not all of the tree told">
          {found.untold.slice(0, 5).map((u, i) => (
            <Text size="sm" key={i}>
              {u.tier} {u.name} may hold it somewhere: {u.why}
            </Text>
          ))}
          {found.untold.length > 5 && <Text size="sm">and {found.untold.length - 5} more</Text>}
        </Alert>
      )}
      {leaves.length > 0 && (
        <DataTable
          label="Leaves that may hold it"
          rows={leaves}
          columns={columns}
          rowKey={(l) => l.name}
          height="300px"
          minWidth="520px"
        />
      )}
      <Pruned parts={found.pruned} />
    </>
  )
}

function columnsOf(verified: boolean): Column<Holder>[] {
  const out: Column<Holder>[] = [
    {
      key: 'leaf',
      title: 'Leaf',
      width: 'minmax(200px, 2fr)',
      render: (l) => (
        <Anchor component={Link} to={`/leaf?name=${encodeURIComponent(l.name)}`} size="sm">
          {l.name}
        </Anchor>
      ),
      sort: (l) => l.name,
    },
    {
      key: 'below',
      title: 'Below',
      width: 'minmax(90px, 1fr)',
      render: (l) => l.above.join(' > ') || 'this tier',
      sort: (l) => l.above.join(' > '),
    },
    {
      key: 'state',
      title: 'State',
      width: '110px',
      render: (l) => (
        <Health level={l.state === 'missing' ? 'bad' : l.state === 'unknown' ? 'off' : 'good'}>{l.state}</Health>
      ),
      sort: (l) => l.state,
    },
  ]
  if (verified)
    out.push({
      key: 'series',
      title: 'Series',
      width: '150px',
      numeric: true,
      render: (l) => (l.series === undefined ? 'did not say' : whole(l.series) + (l.shared ? ' with its likes' : '')),
      sort: (l) => l.series,
    })
  return out
}

const verdicts: Record<string, string> = {
  'pruned-hint': 'field hint',
  'pruned-label': 'identity labels',
  'pruned-time': 'time',
  rollup: 'rollup',
}

function Pruned({ parts }: { parts: PrunedPart[] }) {
  if (parts.length === 0) return null
  return (
    <Sideways label="What rules out the others">
      <table className={classes.table} style={{ marginTop: 8, minWidth: 640 }} aria-label="What rules out the others">
        <thead>
          <tr>
            <th>Ruled out by</th>
            <th>through</th>
            <th>which does not have</th>
            <th className={classes.n}>Children</th>
            <th className={classes.n}>Leaves</th>
          </tr>
        </thead>
        <tbody>
          {parts.slice(0, 30).map((p) => (
            <tr key={p.by + p.verdict + p.evidence}>
              <td>{p.by}</td>
              <td>{verdicts[p.verdict] ?? p.verdict}</td>
              <td>
                <code>{p.evidence}</code>
              </td>
              <td className={classes.n}>{count(p.children)}</td>
              <td className={classes.n}>{count(p.leaves)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {parts.length > 30 && <Text size="xs">and {parts.length - 30} more</Text>}
    </Sideways>
  )
}
