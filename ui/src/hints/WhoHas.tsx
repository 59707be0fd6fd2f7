import { Alert, Anchor, Button, Group, Paper, Text, TextInput, Title } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { Link } from 'react-router'
import { ApiError } from '../api/client.ts'
import type { Tree } from '../api/tree.ts'
import { count, whole } from '../format/numbers.ts'
import { DataTable, type Column } from '../parts/DataTable.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Sideways } from '../leaf/Sideways.tsx'
import classes from '../leaf/leaf.module.css'
import { verify, whoHas, type Holder, type Holders, type PrunedPart } from './whohas.ts'

/** Which leaves may hold series of a selector, and what rules out the others. */
export function WhoHas({
  selector,
  onSelector,
  tree,
}: {
  selector: string
  onSelector: (s: string) => void
  tree: Tree
}) {
  const [text, setText] = useState(selector)
  const [before, setBefore] = useState(selector)
  if (before !== selector) {
    setBefore(selector)
    setText(selector)
  }
  const found = useQuery({
    queryKey: ['who-has', selector],
    queryFn: ({ signal }) => whoHas(selector, tree, signal),
    enabled: selector !== '',
    staleTime: Infinity,
    retry: false,
  })
  return (
    <Paper withBorder p="sm" mb="md" component="section" aria-label="Who has it">
      <Title order={2} size="h5">
        Who has it?
      </Title>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          if (text.trim() === selector) void found.refetch()
          else onSelector(text.trim())
        }}
      >
        <Group gap="xs" my="xs" align="flex-start">
          <TextInput
            size="xs"
            style={{ flex: '1 1 240px', maxWidth: 640 }}
            styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
            placeholder='gpu_utilization_ratio{job=~"node-.*"}'
            aria-label="Selector"
            value={text}
            onChange={(e) => setText(e.currentTarget.value)}
          />
          <Button size="xs" type="submit" loading={found.isFetching} disabled={text.trim() === ''}>
            Find
          </Button>
        </Group>
      </form>
      {selector === '' && (
        <Text size="sm" c="dimmed">
          Enter a selector to see which leaves may hold series of it. Hints answer this for the whole planet without
          asking a leaf.
        </Text>
      )}
      {found.isFetching && <Loading what="asking all tiers for their plans" />}
      {found.error !== null && !found.isFetching && <NotFound error={found.error} retry={() => void found.refetch()} />}
      {found.data && selector !== '' && (
        <Result key={selector + String(found.dataUpdatedAt)} selector={selector} found={found.data} />
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

function Result({ selector, found }: { selector: string; found: Holders }) {
  const asking = useMutation({ mutationFn: () => verify(selector, found.leaves) })
  const leaves = asking.data?.leaves ?? found.leaves
  const verified = asking.data !== undefined
  const columns = useMemo(() => columnsOf(verified), [verified])
  const withData = leaves.filter((l) => (l.series ?? 0) > 0).length
  const unknown = leaves.filter((l) => l.series === undefined).length
  return (
    <>
      <Group gap="xs" mb="xs">
        <Text size="sm" role="status">
          {leaves.length === 0
            ? 'No leaf can hold it'
            : `${whole(leaves.length)} ${leaves.length === 1 ? 'leaf' : 'leaves'} may hold it`}
          {found.untold.length > 0 ? ', of those that told' : leaves.length > 0 ? '; all others cannot' : ''}.
          {verified && ` ${whole(withData)} do${unknown > 0 ? `, ${whole(unknown)} did not say` : ''}.`}
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
      <table className={classes.table} style={{ marginTop: 8 }} aria-label="What rules out the others">
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
