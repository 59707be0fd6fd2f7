import { Alert, Anchor, Button, Group, SegmentedControl, Text, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'react-router'
import { ask } from '../api/client.ts'
import { duration } from '../format/numbers.ts'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import { fanOutOf, fanOutOfRows, type FanOut, type PlanRow, type PlanTier } from './fanout.ts'

/** The query whose way through the tree is shown: an expression, or the id of one that was asked. */
export interface Asked {
  expr: string
  id: string
  /** Only the plan is asked for, nothing is evaluated. */
  plan: boolean
  /** time, or start, end and step, as the API takes them. */
  grid: Record<string, string>
}

export function askedOf(params: URLSearchParams): Asked {
  const grid: Record<string, string> = {}
  for (const name of ['time', 'start', 'end', 'step']) {
    const v = params.get(name)
    if (v) grid[name] = v
  }
  return { expr: params.get('expr') ?? '', id: params.get('id') ?? '', plan: params.get('plan') === '1', grid }
}

interface Kept {
  query: string
  explanation?: PlanTier
  completeness?: { children: PlanRow[] | null }
  kind: string
  state: string
}

/** A query's fan-out with the text of the query. */
export interface Shown {
  fan: FanOut
  query: string
  took?: number
}

async function load(a: Asked, signal: AbortSignal): Promise<Shown> {
  if (a.id !== '') {
    const { data } = await ask<Kept>(`/pando/api/v1/queries/${encodeURIComponent(a.id)}`, {}, { signal })
    // Of a query that was only slow, not analysed, the explanation is that of this tier alone: rows tell of all.
    const rows = data.completeness?.children ?? []
    if (data.explanation && (data.kind === 'analyze' || rows.length === 0))
      return { fan: fanOutOf(data.explanation, data.kind !== 'explain'), query: data.query }
    const note = data.completeness
      ? 'This query was not analysed: members that were pruned below its first tier may not be told of.'
      : `This query is ${data.state}: what became of each member is not kept yet, or not at all.`
    return { fan: fanOutOfRows(rows, note), query: data.query }
  }
  const path = a.plan ? '/pando/api/v1/explain' : '/pando/api/v1/analyze'
  const answer = await ask<{ explanation: PlanTier | null }>(path, { query: a.expr, ...a.grid }, { signal })
  const plan = answer.data.explanation ?? { name: '', tier: '' }
  return { fan: fanOutOf(plan, !a.plan), query: a.expr, took: answer.took / 1000 }
}

/** Asks for the way of a query through the tree, once; not again by itself, since evaluating may be dear. */
export function useFanOut(a: Asked, enabled: boolean) {
  return useQuery({
    queryKey: ['fan-out', a],
    queryFn: ({ signal }) => load(a, signal),
    enabled: enabled && (a.expr !== '' || a.id !== ''),
    staleTime: Infinity,
    retry: false,
  })
}

/** Chooses the query, and says how asking for it went. */
export function QueryBar({
  asked,
  result,
  set,
}: {
  asked: Asked
  result: ReturnType<typeof useFanOut>
  set: (changes: Record<string, string>) => void
}) {
  const [text, setText] = useState(asked.expr)
  const [before, setBefore] = useState(asked.expr)
  // The address has changed, by the back button for instance.
  if (before !== asked.expr) {
    setBefore(asked.expr)
    setText(asked.expr)
  }
  const submit = () => {
    if (text.trim() === asked.expr && asked.id === '') void result.refetch()
    else set({ expr: text.trim(), id: '' })
  }
  return (
    <>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          submit()
        }}
      >
        <Group gap="xs" mb="xs">
          <TextInput
            size="xs"
            style={{ flex: '1 1 260px' }}
            styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
            placeholder={asked.id ? `query ${asked.id}` : 'sum by (zone) (rate(http_requests_total[5m]))'}
            aria-label="The query whose way is shown"
            value={text}
            onChange={(e) => setText(e.currentTarget.value)}
          />
          <SegmentedControl
            size="xs"
            aria-label="How"
            data={[
              { value: '0', label: 'Analyse' },
              { value: '1', label: 'Plan only' },
            ]}
            value={asked.plan ? '1' : '0'}
            onChange={(v) => set({ plan: v === '1' ? '1' : '' })}
          />
          <Button size="xs" type="submit" loading={result.isFetching} disabled={text.trim() === '' && asked.id === ''}>
            Show its way
          </Button>
        </Group>
      </form>
      {result.isFetching && <Loading what={asked.plan ? 'planning' : 'evaluating'} />}
      {result.error !== null && (
        <Failure what="The query's way is not known" error={result.error} retry={() => void result.refetch()} />
      )}
      {result.data && <Told shown={result.data} asked={asked} />}
      {asked.expr === '' && asked.id === '' && (
        <Text size="sm" c="dimmed" mb="xs">
          Enter a query to see which members it asks, which are spared and by what, and how much each sends. Analysing
          evaluates it; a plan asks nobody for data.
        </Text>
      )}
    </>
  )
}

function Told({ shown, asked }: { shown: Shown; asked: Asked }) {
  const why = asked.id
    ? `/why?id=${encodeURIComponent(asked.id)}`
    : `/why?${new URLSearchParams({ expr: asked.expr, ...asked.grid }).toString()}`
  return (
    <>
      <Text size="xs" c="dimmed" mb={4} style={{ overflowWrap: 'anywhere' }}>
        {asked.id && (
          <>
            <code>{shown.query}</code> ·{' '}
          </>
        )}
        {shown.took !== undefined && <>{duration(shown.took)} · </>}
        <Anchor component={Link} to={why} size="xs">
          the whole explanation
        </Anchor>
      </Text>
      {shown.fan.notes.length > 0 && (
        <Alert color="orange" p="xs" mb="xs" title="Not all is told">
          {shown.fan.notes.slice(0, 4).map((n) => (
            <Text size="sm" key={n}>
              {n}
            </Text>
          ))}
          {shown.fan.notes.length > 4 && <Text size="sm">and {shown.fan.notes.length - 4} more</Text>}
        </Alert>
      )}
    </>
  )
}
