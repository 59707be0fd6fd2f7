import { Button, Code, Group, Paper, Progress, Table, Text } from '@mantine/core'
import { IconDownload, IconPlayerPlay } from '@tabler/icons-react'
import { useEffect, useRef, useState } from 'react'
import { ask, ApiError, type Params } from '../api/client.ts'
import { bytes, count, duration } from '../format/numbers.ts'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { saveJSON } from '../parts/save.ts'
import { When } from '../parts/When.tsx'
import { missingNames } from './asker.ts'
import {
  comparable,
  compare,
  lag,
  outcome,
  runs,
  size,
  tolerance,
  type Difference,
  type Result,
  type Run,
} from './audit.ts'
import { paramsOf, type Asked } from './params.ts'

interface Audit {
  asked: Asked
  runs: Run[]
  running: boolean
  error?: unknown
}

// So many differing series are shown of a run.
const shown = 50

async function answer(asked: Asked, more: Params, signal: AbortSignal) {
  const path = asked.step ? '/api/v1/query_range' : '/api/v1/query'
  return ask<Result>(path, { ...paramsOf(asked), ...more }, { signal })
}

async function audit(asked: Asked, signal: AbortSignal, tell: (a: Audit) => void): Promise<void> {
  const all: Run[] = []
  const base = await answer(asked, {}, signal)
  all.push({
    name: 'as asked',
    took: base.took / 1000,
    bytes: base.bytes,
    missing: missingNames(base.warnings),
    ...size(base.data),
  })
  tell({ asked, runs: [...all], running: true })
  for (const run of runs) {
    try {
      const res = await answer(asked, run.params, signal)
      all.push({
        name: run.name,
        took: res.took / 1000,
        bytes: res.bytes,
        missing: missingNames(res.warnings),
        ...size(res.data),
        differences: compare(base.data, res.data),
      })
    } catch (e) {
      if (signal.aborted || !(e instanceof ApiError)) throw e
      all.push({ name: run.name, missing: [], error: e.message })
    }
    tell({ asked, runs: [...all], running: true })
  }
  tell({ asked, runs: all, running: false })
}

/** The same query without each shortcut, compared value by value. */
export function AuditTab({ asked, pinned }: { asked: Asked; pinned: boolean }) {
  const [state, setState] = useState<Audit>()
  const stop = useRef<AbortController>(null)
  useEffect(() => () => stop.current?.abort(), [])
  const start = () => {
    stop.current?.abort()
    const c = new AbortController()
    stop.current = c
    // Samples that arrive between the runs must not show.
    const by = pinned ? 0 : lag
    const at = { ...asked, start: asked.start - by, end: asked.end - by }
    const tell = (a: Audit) => !c.signal.aborted && setState(a)
    tell({ asked: at, runs: [], running: true })
    audit(at, c.signal, tell).catch((error: unknown) => tell({ asked: at, runs: [], running: false, error }))
  }
  return (
    <>
      <Group mb="sm" gap="sm">
        <Button
          size="compact-sm"
          onClick={start}
          loading={state?.running ?? false}
          leftSection={<IconPlayerPlay size={14} />}
        >
          {state ? 'Audit again' : 'Audit'}
        </Button>
        {state && !state.running && state.runs.length > 0 && (
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<IconDownload size={14} />}
            onClick={() => saveJSON('pando-audit.json', state)}
          >
            Audit as JSON
          </Button>
        )}
        <Text size="sm" c="dimmed">
          asks {runs.length + 1} times: as it is, and without hints, push-down, caches, rollups. All answers must be the
          same within {tolerance} of each value.
          {!pinned && ' It is asked of a minute ago, so that samples which arrive meanwhile do not show.'}
        </Text>
      </Group>
      {state?.running && (
        <Progress
          value={(state.runs.length / (runs.length + 1)) * 100}
          size="sm"
          mb="sm"
          aria-label={`${state.runs.length} of ${runs.length + 1} runs`}
        />
      )}
      {state?.error !== undefined && <Failure what="The audit failed" error={state.error} retry={start} />}
      {state && state.runs.length > 0 && <Outcome a={state} />}
    </>
  )
}

function Outcome({ a }: { a: Audit }) {
  const base = a.runs[0]
  const o = outcome(a.runs)
  return (
    <>
      {!a.running && (
        <Text component="div" fw={600} mb="xs">
          <Health level={o.level}>{o.text}</Health>
        </Text>
      )}
      <Table.ScrollContainer minWidth={560}>
        <Table fz="sm" verticalSpacing={4} aria-label="Audit">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Asked</Table.Th>
              <Table.Th>Result</Table.Th>
              {['Series', 'Samples', 'Answer', 'Took'].map((h) => (
                <Table.Th key={h} ta="right">
                  {h}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {a.runs.map((r) => (
              <Table.Tr key={r.name}>
                <Table.Td>{r.name}</Table.Td>
                <Table.Td>
                  <Verdict r={r} base={base} />
                </Table.Td>
                <Table.Td ta="right">{count(r.series)}</Table.Td>
                <Table.Td ta="right">{count(r.samples)}</Table.Td>
                <Table.Td ta="right">{bytes(r.bytes)}</Table.Td>
                <Table.Td ta="right">{duration(r.took)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {a.runs.map((r) => (r.differences?.length ? <Differences key={r.name} run={r} list={r.differences} /> : null))}
    </>
  )
}

function Verdict({ r, base }: { r: Run; base: Run | undefined }) {
  const missing = r.missing.length ? `; without ${r.missing.join(', ')}` : ''
  if (r.error) return <Health level="bad">failed: {r.error}</Health>
  if (r === base)
    return <Health level={missing ? 'warn' : 'off'}>{`what the others are compared with${missing}`}</Health>
  if (r.differences?.length)
    return (
      <Health level={comparable(base, r) ? 'bad' : 'warn'}>{`${r.differences.length} series differ${missing}`}</Health>
    )
  return <Health level={missing ? 'warn' : 'good'}>{`the same${missing}`}</Health>
}

function Differences({ run, list }: { run: Run; list: Difference[] }) {
  return (
    <Paper withBorder p="sm" mt="sm">
      <Text size="sm" fw={600} mb={4}>
        {run.name}: {list.length} series differ{list.length > shown && `, the first ${shown} of which are`}
      </Text>
      <Table.ScrollContainer minWidth={560}>
        <Table fz="sm" verticalSpacing={4} aria-label={`Differences ${run.name}`}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Series</Table.Th>
              <Table.Th>First at</Table.Th>
              <Table.Th ta="right">As asked</Table.Th>
              <Table.Th ta="right">Then</Table.Th>
              <Table.Th ta="right">Points</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {list.slice(0, shown).map((d) => (
              <Table.Tr key={d.series}>
                <Table.Td>
                  <Code style={{ overflowWrap: 'anywhere', whiteSpace: 'normal' }}>{d.series}</Code>
                </Table.Td>
                <Table.Td>{d.t > 0 && <When t={d.t * 1000} />}</Table.Td>
                <Table.Td ta="right">{d.asked ?? 'none'}</Table.Td>
                <Table.Td ta="right">{d.other ?? 'none'}</Table.Td>
                <Table.Td ta="right">{count(d.points)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  )
}
