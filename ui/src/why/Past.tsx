import { Alert, Anchor, Button, Code, Group, Text } from '@mantine/core'
import { IconHistory } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useMemo } from 'react'
import { Link } from 'react-router'
import { ApiError } from '../api/client.ts'
import { optionWords } from '../api/options.ts'
import { cancelQuery, keptQueries, progressText, useQueryRecord, type QueryRecord } from '../api/queries.ts'
import { duration } from '../format/numbers.ts'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import { When } from '../parts/When.tsx'
import { queryAddress, rerun, whyAddress, type WhyState } from './params.ts'
import { Result } from './Result.tsx'
import { askedOf, toldPast } from './told.ts'

/** A past query, by its id. */
export function Past({ state, change }: { state: WhyState; change: (s: Partial<WhyState>) => void }) {
  const { data, error, refetch } = useQueryRecord(state.id)
  const told = useMemo(() => data && toldPast(data), [data])
  if (error instanceof ApiError && error.status === 404) return <Gone id={state.id} />
  if (error && !data)
    return <Failure what={`Query ${state.id} cannot be told of`} error={error} retry={() => void refetch()} />
  if (!data || !told) return <Loading what={`reading query ${state.id}`} />
  if (data.state === 'active') return <Running q={data} error={error} />
  return (
    <>
      <About q={data} />
      {data.error && (
        <Alert
          color={data.state === 'canceled' ? 'gray' : 'red'}
          title={data.state === 'canceled' ? 'It was canceled' : 'It failed'}
          mb="sm"
        >
          <Text size="sm">{data.error}</Text>
        </Alert>
      )}
      {told.rows.length > 0 || data.completeness?.complete || told.explanation ? (
        <Result told={told} state={state} change={change} more={<Less q={data} />} />
      ) : (
        <Less q={data} />
      )}
    </>
  )
}

function About({ q }: { q: QueryRecord }) {
  const asked = rerun(q)
  const unusual = optionWords(asked.options)
  return (
    <div style={{ marginBottom: 12 }}>
      <Code block style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
        {q.query}
      </Code>
      <Group justify="space-between" gap="xs" mt={4}>
        <Text size="sm" c="dimmed">
          {q.kind} by {q.client || 'nobody known'}, begun <When t={q.begun} />
          {q.step > 0 && q.start && (
            <>
              , of <When t={q.start} /> to <When t={q.end} /> every {duration(q.step)}
            </>
          )}
          {q.step === 0 && q.end && (
            <>
              , of <When t={q.end} />
            </>
          )}
          {unusual.length > 0 && `; ${unusual.join(', ')}`}
        </Text>
        <Group gap="xs">
          <Button component={Link} to={whyAddress({ ...asked, analyze: true })} size="compact-sm" variant="default">
            Analyze again
          </Button>
          <Button component={Link} to={queryAddress(askedOf(q))} size="compact-sm" variant="default">
            Open in Query
          </Button>
        </Group>
      </Group>
    </div>
  )
}

// What the record lacks, and how to have it.
function Less({ q }: { q: QueryRecord }) {
  const again = rerun(q)
  if (q.explanation && q.kind === 'analyze') return null
  return (
    <Alert
      color="gray"
      icon={<IconHistory size={18} />}
      mb="sm"
      title={q.explanation ? 'Explained by this tier alone' : 'No explanation was kept'}
    >
      <Text size="sm">
        {q.explanation
          ? 'It was slow, so what this tier did was kept; tiers below explain themselves only in an analysis. '
          : 'Explanations are kept of queries that were analysed, or were slower than --query.explain-slower-than. '}
        Ask again with the same expression, times and options:{' '}
        <Anchor component={Link} underline="always" size="sm" to={whyAddress(again)}>
          explain the plan
        </Anchor>
        , or{' '}
        <Anchor component={Link} underline="always" size="sm" to={whyAddress({ ...again, analyze: true })}>
          analyze
        </Anchor>
        . The tree, hints and caches are those of now, not of then.
      </Text>
    </Alert>
  )
}

function Running({ q, error }: { q: QueryRecord; error: Error | null }) {
  const queries = useQueryClient()
  const cancel = useMutation({
    mutationFn: () => cancelQuery(q.id),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['queries'] }),
  })
  return (
    <>
      <About q={q} />
      {error && <Failure what="How it gets on is not known; this is what was told last" error={error} />}
      {cancel.error && <Failure what="It was not canceled" error={cancel.error} />}
      <Group>
        <Text size="sm" role="status">
          It runs for {duration(q.duration)} now{q.progress && `: ${progressText(q.progress)}`}. This page tells more
          when it has ended.
        </Text>
        <Button
          size="compact-sm"
          color="red"
          variant="light"
          loading={cancel.isPending}
          onClick={() => cancel.mutate()}
        >
          Cancel it
        </Button>
      </Group>
    </>
  )
}

function Gone({ id }: { id: string }) {
  return (
    <Empty title={`Query ${id} is not known to this tier any more`}>
      A tier keeps its latest queries, and the worst of each hour before those, {keptQueries} in 16 MiB at most, and
      only its own: one that was asked of another tier is known there. If <code>--query.log-file</code> is set, the
      query log has its expression and times, which can be explained again above.{' '}
      <Anchor component={Link} underline="always" size="sm" to="/queries">
        See the queries that are kept.
      </Anchor>
    </Empty>
  )
}
