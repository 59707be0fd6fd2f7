import { Anchor, Group, Text, Tooltip } from '@mantine/core'
import { IconAlertTriangle } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useDebouncedValue } from '@mantine/hooks'
import { Link } from 'react-router'
import { ask, type Params } from '../api/client.ts'
import { useTree } from '../api/tree.ts'
import { count } from '../format/numbers.ts'
import { estimate, warnings, type Estimate as Sum, type Plan } from './estimate.ts'
import { request, whyPanel } from './request.ts'
import { stepsOf } from './steps.ts'
import type { Options } from '../api/options.ts'
import type { PanelState } from './urlstate.ts'

interface Props {
  panel: PanelState
  /** The expression as it would be sent; '' while it cannot be read. */
  expr: string
  options: Options
}

/** What a query would ask, found out while its writer pauses. */
export function EstimateLine({ panel, expr, options }: Props) {
  const { data: tree } = useTree()
  // Only what changes the plan is waited for; now, in minutes, is near enough.
  const now = Math.floor(Date.now() / 60_000) * 60_000
  const { timeout: _, ...asked } = request(
    { ...panel, tab: panel.tab === 'tree' ? 'table' : panel.tab },
    expr,
    options,
    now,
    '',
  ).params
  const wanted = expr.trim() === '' ? '' : JSON.stringify(asked)
  const [settled] = useDebouncedValue(wanted, 500)
  const plan = useQuery({
    queryKey: ['estimate', settled],
    enabled: settled !== '' && settled === wanted,
    staleTime: 30_000,
    retry: false,
    queryFn: async ({ signal }) =>
      (await ask<{ explanation: Plan }>('/pando/api/v1/explain', JSON.parse(settled) as Params, { signal })).data
        .explanation,
  })
  if (wanted === '' || !plan.data || settled !== wanted) return <div style={{ minHeight: 20 }} />
  const sum = estimate(plan.data, tree)
  const steps = panel.tab === 'graph' ? stepsOf(panel.range, Number(asked.step)) : 1
  return (
    <div style={{ minHeight: 20 }}>
      <Line sum={sum} steps={steps} why={whyPanel(panel, expr, options)} />
      {warnings(sum, steps).map((w) => (
        <Group key={w} gap={6} wrap="nowrap" align="flex-start" role="status">
          <IconAlertTriangle
            size={16}
            style={{ color: 'var(--mantine-color-orange-6)', flex: 'none', marginTop: 2 }}
            aria-hidden="true"
          />
          <Text size="xs">
            <b>May be expensive: </b>
            {w}
          </Text>
        </Group>
      ))}
    </div>
  )
}

function Line({ sum, steps, why }: { sum: Sum; steps: number; why: string }) {
  const { pruned } = sum
  const not = [
    [pruned.hint, 'hint'],
    [pruned.label, 'label'],
    [pruned.time, 'time'],
    [pruned.rollup, 'rollup'],
  ]
    .filter(([n]) => n !== 0)
    .map(([n, w]) => `${n} by ${w}`)
    .join(', ')
  const down =
    sum.pushed.length === 0
      ? ''
      : sum.raw.length === 0
        ? 'pushed down whole'
        : `${sum.pushed.length} parts pushed down, ${sum.raw.length} pulled raw`
  const pulled =
    sum.pushed.length === 0 && sum.raw.length > 0
      ? `raw series pulled${sum.rawSeries > 0 ? `, of leaves that hold ${count(sum.rawSeries)}` : ''}`
      : ''
  const parts = [
    `would ask ${sum.asked} of ${sum.leaves} ${sum.leaves === 1 ? 'leaf' : 'leaves'}`,
    not && `pruned ${not}`,
    down || pulled,
    steps > 1 && `${steps} steps`,
    sum.rollups > 0 && 'rollups have a part',
    sum.untold.length > 0 && `as far as is known: ${sum.untold.slice(0, 3).join(', ')} did not tell all`,
  ].filter(Boolean)
  const detail = [
    ...sum.pushed.map((q) => 'pushed down: ' + q),
    ...sum.raw.map((q) => 'pulled raw: ' + q),
    ...sum.cuts.map((c) => `stays here: ${c.expr} (${c.why})`),
  ]
  return (
    <Tooltip
      label={detail.slice(0, 8).join('\n')}
      multiline
      maw={600}
      disabled={detail.length === 0}
      style={{ whiteSpace: 'pre-wrap' }}
    >
      <Text size="xs" c="dimmed" aria-live="polite" style={{ overflowWrap: 'anywhere' }}>
        {parts.join(' · ')} ·{' '}
        <Anchor component={Link} to={why} inherit c="inherit" underline="always">
          why
        </Anchor>
      </Text>
    </Tooltip>
  )
}
