import { ActionIcon, Anchor, Button, Group, Modal, Text, TextInput, Tooltip } from '@mantine/core'
import { IconArrowLeft, IconPlus } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useDeferredValue, useMemo, useState } from 'react'
import { ask } from '../api/client.ts'
import { whole } from '../format/numbers.ts'
import { DataTable, type Column } from '../parts/DataTable.tsx'
import { labelsText } from '../parts/Labels.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import type { Metadata } from './completion.ts'
import { found, metadataOf, type MetricRow } from './metrics.ts'
import { MetricLabels } from './MetricLabels.tsx'

interface Props {
  opened: boolean
  onClose: () => void
  /** Puts a text where the cursor of the editor is. */
  onInsert: (text: string) => void
  /** Matchers of the scope, as PromQL writes them. */
  scope: string
}

const limit = 20_000

/** All metrics by name, with what is known of them, and the labels of each. */
export default function Explorer({ opened, onClose, onInsert, scope }: Props) {
  const [metric, setMetric] = useState<string | undefined>()
  const insert = (text: string) => {
    onInsert(text)
    onClose()
  }
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      size="min(1100px, 96vw)"
      title={metric ?? 'Metrics'}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {metric === undefined ? (
        <Metrics onPick={setMetric} onInsert={insert} scope={scope} />
      ) : (
        <>
          <Group mb="sm" gap="xs">
            <Button
              variant="subtle"
              size="compact-sm"
              leftSection={<IconArrowLeft size={14} />}
              onClick={() => setMetric(undefined)}
            >
              All metrics
            </Button>
          </Group>
          <MetricLabels metric={metric} onInsert={insert} scope={scope} />
        </>
      )}
    </Modal>
  )
}

function useMetrics(scope: string) {
  return useQuery({
    queryKey: ['metrics', scope],
    staleTime: 5 * 60_000,
    queryFn: async ({ signal }) => {
      const match = scope ? [`{${scope},__name__=~".+"}`] : undefined
      const [names, metadata] = await Promise.all([
        ask<string[]>('/api/v1/label/__name__/values', { 'match[]': match, limit }, { signal }),
        ask<Record<string, Metadata[]>>('/api/v1/metadata', { limit }, { signal }),
      ])
      return {
        rows: names.data.map((name): MetricRow => ({ name, ...metadataOf(name, metadata.data) })),
        notes: [...names.warnings, ...metadata.warnings],
      }
    },
  })
}

function Metrics({
  onPick,
  onInsert,
  scope,
}: {
  onPick: (m: string) => void
  onInsert: (text: string) => void
  scope: string
}) {
  const [search, setSearch] = useState('')
  const wanted = useDeferredValue(search)
  const { data, error, refetch } = useMetrics(scope)
  const rows = useMemo(() => (data ? found(data.rows, wanted) : []), [data, wanted])
  const columns = useMemo((): Column<MetricRow>[] => {
    return [
      {
        key: 'insert',
        title: 'Add',
        width: '34px',
        render: (r) => (
          <Tooltip label="Insert">
            <ActionIcon
              size="sm"
              variant="subtle"
              aria-label={`Insert ${r.name}`}
              onClick={(e) => {
                e.stopPropagation()
                onInsert(labelsText({ __name__: r.name }))
              }}
            >
              <IconPlus size={14} />
            </ActionIcon>
          </Tooltip>
        ),
      },
      {
        key: 'name',
        title: 'Metric',
        width: 'minmax(220px, 2fr)',
        render: (r) => <span title={r.name}>{r.name}</span>,
        sort: (r) => r.name,
      },
      { key: 'type', title: 'Type', width: '90px', render: (r) => r.type, sort: (r) => r.type || undefined },
      { key: 'unit', title: 'Unit', width: '70px', render: (r) => r.unit, sort: (r) => r.unit || undefined },
      {
        key: 'help',
        title: 'Meaning',
        width: 'minmax(200px, 3fr)',
        render: (r) => <span title={r.help}>{r.help}</span>,
      },
    ]
  }, [onInsert])
  if (error) return <Failure what="The names of metrics did not come" error={error} retry={() => void refetch()} />
  if (!data) return <Loading what="fetching the names of metrics" />
  return (
    <>
      <TextInput
        autoFocus
        placeholder="Search names and meanings"
        aria-label="Search metrics"
        value={search}
        onChange={(e) => setSearch(e.currentTarget.value)}
        mb="xs"
      />
      <Text size="sm" c="dimmed" mb={4}>
        {whole(rows.length)} of {whole(data.rows.length)} metrics{data.rows.length >= limit && ' (no more are fetched)'}
        . Open one to see its labels.
      </Text>
      {data.notes.map((n) => (
        <Text key={n} size="sm" c="red">
          {n}
        </Text>
      ))}
      <DataTable
        label="Metrics"
        rows={rows}
        columns={columns}
        rowKey={(r) => r.name}
        onOpen={(r) => onPick(r.name)}
        height="60vh"
        minWidth="620px"
      />
      {rows.length === 0 && (
        <Text size="sm" mt="xs">
          No metric has these words.{' '}
          <Anchor component="button" onClick={() => setSearch('')}>
            Show all
          </Anchor>
        </Text>
      )}
    </>
  )
}
