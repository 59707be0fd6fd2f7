import { Button, Code, Group, Text, UnstyledButton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { ask } from '../api/client.ts'
import { missingOf } from '../api/stats.ts'
import { count, numeric, whole } from '../format/numbers.ts'
import { Failure } from '../parts/Failure.tsx'
import { labelName, labelsText } from '../parts/Labels.tsx'
import { Loading } from '../parts/Loading.tsx'
import classes from './Query.module.css'
import type { Result } from './results.ts'

const shownValues = 50
const maxValues = 1000

interface Props {
  metric: string
  scope: string
  onInsert: (text: string) => void
}

/** The labels of a metric. What a label's values are, and how many series each has, is asked when it is opened. */
export function MetricLabels({ metric, scope, onInsert }: Props) {
  const selector = `{__name__=${JSON.stringify(metric)}${scope && ',' + scope}}`
  const labels = useQuery({
    queryKey: ['labels of', selector],
    staleTime: 60_000,
    queryFn: ({ signal }) => ask<string[]>('/api/v1/labels', { 'match[]': [selector], limit: maxValues }, { signal }),
  })
  const series = useQuery({
    queryKey: ['series of', selector],
    staleTime: 60_000,
    queryFn: ({ signal }) => ask<Result>('/api/v1/query', { query: `count(${selector})` }, { signal }),
  })
  if (labels.error)
    return <Failure what="The labels did not come" error={labels.error} retry={() => void labels.refetch()} />
  const result = series.data?.data
  const total = result?.resultType === 'vector' ? numeric(result.result[0]?.value?.[1] ?? '0') : undefined
  const missing = missingOf(undefined, [...(labels.data?.warnings ?? []), ...(series.data?.warnings ?? [])])
  return (
    <div>
      <Group gap="sm" mb="xs">
        <Text fw={600} style={{ overflowWrap: 'anywhere' }}>
          {metric}
        </Text>
        <Text size="sm" c="dimmed">
          {series.error ? 'its series were not counted' : total === undefined ? '…' : `${whole(total)} series now`}
        </Text>
        <Button size="compact-sm" variant="default" onClick={() => onInsert(labelsText({ __name__: metric }))}>
          Insert
        </Button>
      </Group>
      {missing.length > 0 && (
        <Text size="sm" c="red" fw={600}>
          Incomplete: {missing.map((m) => m.name).join(', ')} did not answer.
        </Text>
      )}
      {!labels.data && <Loading what="fetching labels" />}
      {labels.data?.data
        .filter((l) => l !== '__name__')
        .map((l) => (
          <Label key={l} label={l} metric={metric} selector={selector} onInsert={onInsert} />
        ))}
    </div>
  )
}

function Label({
  label,
  metric,
  selector,
  onInsert,
}: {
  label: string
  metric: string
  selector: string
  onInsert: (text: string) => void
}) {
  const [open, setOpen] = useState(false)
  const values = useQuery({
    queryKey: ['values of', label, selector],
    staleTime: 60_000,
    queryFn: ({ signal }) =>
      ask<string[]>(
        `/api/v1/label/${encodeURIComponent(label)}/values`,
        { 'match[]': [selector], limit: maxValues },
        { signal },
      ),
  })
  const n = values.data?.data.length
  return (
    <div>
      <UnstyledButton onClick={() => setOpen((o) => !o)} aria-expanded={open} py={3}>
        <Code>{label}</Code>{' '}
        <Text span size="sm" c="dimmed">
          {values.error
            ? 'values did not come'
            : n === undefined
              ? '…'
              : n >= maxValues
                ? `${whole(maxValues)} values or more`
                : `${whole(n)} ${n === 1 ? 'value' : 'values'}`}
          {!open && n === 1 && `: ${values.data?.data[0]}`}
        </Text>
      </UnstyledButton>
      {open && <Values label={label} metric={metric} selector={selector} onInsert={onInsert} />}
    </div>
  )
}

function Values({
  label,
  metric,
  selector,
  onInsert,
}: {
  label: string
  metric: string
  selector: string
  onInsert: (text: string) => void
}) {
  const counts = useQuery({
    queryKey: ['counts of', label, selector],
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const a = await ask<Result>(
        '/api/v1/query',
        { query: `topk(${shownValues}, count by (${labelName(label)}) (${selector}))` },
        { signal },
      )
      const rows = a.data.resultType === 'vector' ? a.data.result : []
      return {
        rows: rows.map((r) => ({ value: r.metric[label] ?? '', series: numeric(r.value?.[1] ?? '0') })),
        missing: missingOf(undefined, a.warnings).length,
      }
    },
  })
  if (counts.error)
    return <Failure what="The values were not counted" error={counts.error} retry={() => void counts.refetch()} />
  if (!counts.data) return <Loading what="counting series" />
  return (
    <table className={classes.buckets} style={{ margin: '0 0 8px 12px' }}>
      <thead>
        <tr>
          <th scope="col" style={{ textAlign: 'left' }}>
            {counts.data.rows.length >= shownValues ? `the ${shownValues} most frequent values` : 'value'}
            {counts.data.missing > 0 && ' (incomplete)'}
          </th>
          <th scope="col">series</th>
        </tr>
      </thead>
      <tbody>
        {counts.data.rows.map((r) => (
          <tr key={r.value}>
            <td style={{ textAlign: 'left', overflowWrap: 'anywhere' }}>
              <UnstyledButton
                fz="xs"
                td="underline"
                onClick={() => onInsert(labelsText({ __name__: metric, [label]: r.value }))}
              >
                {r.value === '' ? '(empty)' : r.value}
              </UnstyledButton>
            </td>
            <td>{count(r.series)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
