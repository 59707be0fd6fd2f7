import { ActionIcon, Alert, Anchor, Group, Text, Tooltip } from '@mantine/core'
import { IconCopy } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useEffect, useMemo, useState } from 'react'
import { Link } from 'react-router'
import { ApiError, ask, type Answer } from '../api/client.ts'
import { progressText, useProgress } from '../api/queries.ts'
import { missingOf } from '../api/stats.ts'
import { whole } from '../format/numbers.ts'
import { promDuration } from '../format/times.ts'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import { When } from '../parts/When.tsx'
import { Incomplete, Notes } from '../trust/Incomplete.tsx'
import { TrustStrip } from '../trust/TrustStrip.tsx'
import { stepIn } from './aligned.ts'
import { exemplarsOf, type ExemplarAnswer } from './exemplars.ts'
import classes from './Query.module.css'
import { curl, gridOf, whyAsked, type Asked } from './request.ts'
import { ResultTable, SingleValue } from './ResultTable.tsx'
import { samplesOf, seriesOf, type InstantSeries, type RangeSeries, type Result } from './results.ts'
import { stepsOf } from './steps.ts'
import type { PanelState, Scope } from './urlstate.ts'
import type { Unit } from './unittext.ts'
import { useMeaning } from './useMeaning.ts'
import { Meanings } from './Meanings.tsx'
import type { Run } from './useRun.ts'

const GraphView = lazy(() => import('./GraphView.tsx'))

interface Props {
  run: Run
  panel: PanelState
  scope: Scope
  onChange: (change: Partial<PanelState>) => void
  onRetry: () => void
}

const examples = ['up', 'count by (zone, cluster) (up)', 'up == 0', 'sum by (job) (scrape_samples_scraped)']

/** How a query is getting on, and its answer. */
export function RunView({ run, panel, scope, onChange, onRetry }: Props) {
  const { status, answer, answers } = run
  return (
    <div aria-busy={status === 'running'}>
      {status === 'idle' && panel.expr.trim() === '' && (
        <Empty title="Ask something">
          Write an expression and press Enter; begin a word, and names are offered. For example{' '}
          {examples.map((e, i) => (
            <span key={e}>
              {i > 0 && ', '}
              <Anchor component="button" ff="monospace" fz="sm" onClick={() => onChange({ expr: e })}>
                {e}
              </Anchor>
            </span>
          ))}
          . Metrics lists all that there is.
        </Empty>
      )}
      {status === 'running' && <Asking id={run.asked?.id ?? ''} begun={run.begun} />}
      {status === 'canceled' && (
        <Alert color="gray" my="xs" title="Canceled">
          The query was ended here and in all tiers below. What it did until then:{' '}
          <Anchor component={Link} to={'/why?id=' + run.asked?.id} inherit>
            why
          </Anchor>
          .
        </Alert>
      )}
      {status === 'failed' && (
        <>
          <Failure what="The query failed" error={run.error} retry={onRetry} />
          {run.asked && !(run.error instanceof ApiError && run.error.status === 400) && (
            <Anchor component={Link} to={whyAsked(run.asked)} size="sm">
              Why, and whom it would ask
            </Anchor>
          )}
        </>
      )}
      {answer && answers && status !== 'canceled' && (
        <div className={status === 'running' ? classes.stale : undefined}>
          <AnswerView answer={answer} asked={answers} panel={panel} scope={scope} onChange={onChange} />
        </div>
      )}
    </div>
  )
}

/** That a query runs, for how long, and once that is long, who owes an answer. */
function Asking({ id, begun }: { id: string; begun: number }) {
  const [long, setLong] = useState(false)
  useEffect(() => {
    setLong(false)
    const timer = setTimeout(() => setLong(true), 1000)
    return () => clearTimeout(timer)
  }, [begun])
  const { data } = useProgress(long ? id : '')
  return (
    <>
      <Loading what="asking" key={begun} {...(data && data.asked > 0 && { done: data.answered / data.asked })} />
      {data && (
        <Text size="sm" c="dimmed">
          {progressText(data)}
        </Text>
      )}
    </>
  )
}

interface AnswerProps {
  answer: Answer<Result>
  asked: Asked
  panel: PanelState
  scope: Scope
  onChange: (change: Partial<PanelState>) => void
}

function AnswerView({ answer, asked, panel, scope, onChange }: AnswerProps) {
  const { data, warnings, infos } = answer
  const missing = useMemo(() => missingOf(data.stats?.pando, warnings), [data, warnings])
  const id = answer.queryId || asked.id
  const graph = asked.path === '/api/v1/query_range'
  const meaning = useMeaning(asked.expr, graph && panel.display === 'heatmap')
  const { stats: _, ...params } = asked.params
  return (
    <>
      <Incomplete missing={missing} queryId={id}>
        {seriesOf(data) === 0 ? (
          <NoSeries asked={asked} data={data} partial={missing.length > 0} scope={scope} />
        ) : graph ? (
          <Graph answer={answer} asked={asked} panel={panel} unit={meaning.unit} onChange={onChange} />
        ) : (
          <Table data={data} unit={meaning.unit} />
        )}
      </Incomplete>
      <Meanings metrics={meaning.metrics} />
      <Notes warnings={warnings} infos={infos} />
      <AskedLine asked={asked} data={data} id={id} />
      <TrustStrip
        stats={data.stats}
        warnings={warnings}
        queryId={id}
        params={params as Record<string, string>}
        until={asked.grid.end * 1000}
      />
    </>
  )
}

function Table({ data, unit }: { data: Result; unit: Unit }) {
  if (data.resultType === 'scalar' || data.resultType === 'string')
    return <SingleValue kind={data.resultType} sample={data.result} />
  return <ResultTable series={data.result as (InstantSeries | RangeSeries)[]} unit={unit} />
}

function Graph({ answer, asked, panel, unit, onChange }: Omit<AnswerProps, 'scope'> & { unit: Unit }) {
  const { data } = answer
  const result = useMemo(() => (data.resultType === 'matrix' ? data.result : ([] as RangeSeries[])), [data])
  const grid = useMemo(() => {
    const g = gridOf(asked, data)
    return g.step > 0 ? g : { ...g, step: stepIn(result) ?? 1 }
  }, [asked, data, result])
  const heat = panel.display === 'heatmap'
  const wanted = panel.exemplars && !heat
  const found = useQuery({
    queryKey: ['exemplars', asked.expr, asked.grid],
    enabled: wanted,
    staleTime: Infinity,
    retry: false,
    queryFn: ({ signal }) =>
      ask<ExemplarAnswer>(
        '/api/v1/query_exemplars',
        { query: asked.expr, start: asked.grid.start, end: asked.grid.end },
        { signal },
      ),
  })
  const exemplars = useMemo(() => exemplarsOf(wanted ? (found.data?.data ?? null) : null), [found.data, wanted])
  const without = missingOf(undefined, found.data?.warnings ?? []).map((m) => m.name)
  return (
    <Suspense fallback={<Loading what="loading the graph" />}>
      <GraphView
        result={result}
        grid={grid}
        display={panel.display}
        log={panel.log && panel.display === 'lines'}
        unit={unit}
        exemplars={exemplars.drawn}
        onZoom={(start, end) => onChange({ end: Math.round(end * 1000), range: Math.max(Math.round(end - start), 1) })}
      />
      {wanted && (
        <Text size="xs" c={found.error || without.length > 0 ? 'red' : 'dimmed'}>
          {found.error
            ? `Exemplars did not come: ${found.error.message}`
            : found.data === undefined
              ? 'fetching exemplars …'
              : exemplars.drawn.length === 0
                ? 'There are no exemplars of these selectors in this range.'
                : `${whole(exemplars.drawn.length)} exemplars (◆)${exemplars.left > 0 ? `, ${whole(exemplars.left)} more are not drawn` : ''}`}
          {without.length > 0 && ` Exemplars may be missing: ${without.join(', ')} did not answer.`}
        </Text>
      )}
    </Suspense>
  )
}

function NoSeries({ asked, data, partial, scope }: { asked: Asked; data: Result; partial: boolean; scope: Scope }) {
  const p = data.stats?.pando
  const by = p?.prunedBy ?? []
  const scoped = Object.entries(scope).flatMap(([k, v]) => v.map((x) => `${k}=${x}`))
  return (
    <Empty title={partial ? 'No series, as far as is known' : 'No series'}>
      {partial && (
        <Text size="sm" fw={600}>
          Those who did not answer may have some.{' '}
        </Text>
      )}
      {p?.asked === 0 && by.length > 0 && (
        <div>
          Nobody was asked: no child can hold a series of it, ruled out by{' '}
          {by.slice(0, 3).map((b, i) => (
            <span key={i}>
              {i > 0 && ', '}
              <code>{b.evidence || b.verdict}</code>
            </span>
          ))}
          .
        </div>
      )}
      {p !== undefined && p.answered > 0 && (
        <div>Whoever answered has no series that this selects, or none that passes its conditions, at that time.</div>
      )}
      {scoped.length > 0 && <div>The scope restricts it to {scoped.join(', ')}.</div>}
      <Anchor component={Link} to={whyAsked(asked)} size="sm">
        Why is it empty
      </Anchor>
    </Empty>
  )
}

/** What was asked, and how to ask it again. */
function AskedLine({ asked, data, id }: { asked: Asked; data: Result; id: string }) {
  const moved = gridOf(asked, data)
  const n = seriesOf(data)
  return (
    <Group gap="xs" mt={6} wrap="nowrap" align="flex-start">
      <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
        {moved.step === 0 ? (
          <>
            evaluated at <When t={moved.end * 1000} />
          </>
        ) : (
          <>
            from <When t={moved.start * 1000} /> to <When t={moved.end * 1000} /> every {promDuration(moved.step)} (
            {whole(stepsOf(moved.end - moved.start, moved.step))} steps)
          </>
        )}
        {' · '}
        {data.resultType}, {whole(n)} series{data.resultType === 'matrix' && `, ${whole(samplesOf(data))} samples`} · id{' '}
        {id}
      </Text>
      <Tooltip label="Copy the request for a shell">
        <ActionIcon
          size="xs"
          variant="subtle"
          color="gray"
          aria-label="Copy the request for a shell"
          onClick={() => void navigator.clipboard?.writeText(curl(asked, location.origin))}
        >
          <IconCopy size={13} />
        </ActionIcon>
      </Tooltip>
    </Group>
  )
}
