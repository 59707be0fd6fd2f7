import { Alert, Anchor, Button, Group, List, Tabs, Text } from '@mantine/core'
import { IconDownload, IconInfoCircle } from '@tabler/icons-react'
import { useMemo, type ReactNode } from 'react'
import { Link } from 'react-router'
import { optionWords } from '../api/options.ts'
import { useTree } from '../api/tree.ts'
import { bytes, count, duration } from '../format/numbers.ts'
import { saveJSON } from '../parts/save.ts'
import { Stats, type Stat } from '../parts/Stats.tsx'
import { AuditTab } from './AuditTab.tsx'
import { coverage } from './coverage.ts'
import { CriticalPath } from './CriticalPath.tsx'
import { EmptyTab } from './EmptyTab.tsx'
import { Headline } from './Headline.tsx'
import { LeafTab } from './LeafTab.tsx'
import { tabs, whyAddress, type Tab, type WhyState } from './params.ts'
import { PlanTree } from './PlanTree.tsx'
import type { Told } from './told.ts'

interface Props {
  told: Told
  state: WhyState
  change: (s: Partial<WhyState>) => void
  /** What can be had beyond what is shown: shown in place of what is missing. */
  more?: ReactNode
}

const tabTitles: Record<Tab, string> = { plan: 'Plan', empty: 'Why empty?', leaf: 'Why not a leaf?', audit: 'Audit' }

/** All that is told of a query: how whole, how long, the plan, and what may be asked further. */
export function Result({ told, state, change, more }: Props) {
  const { data: tree } = useTree()
  const x = told.explanation
  const whole = useMemo(
    () =>
      coverage(told.rows, {
        evaluated: told.evaluated,
        tier: x?.tier ?? tree?.self.tier ?? '',
        missing: told.missing,
        tree,
        pruned: told.pruned,
        cut: told.cut,
      }),
    [told, tree, x],
  )
  const empty = told.evaluated && told.series === 0
  const unusual = optionWords(told.asked.options)
  return (
    <>
      <Headline coverage={whole} />
      {unusual.length > 0 && (
        <Text size="sm" mb="sm">
          Asked with options: <b>{unusual.join(', ')}</b>. All that is asked further on this page has them too.
        </Text>
      )}
      {told.notes.length > 0 && (
        <Alert color="yellow" icon={<IconInfoCircle size={18} />} mb="sm" title="Warnings of this answer">
          <List size="sm">
            {told.notes.map((n) => (
              <List.Item key={n}>{n}</List.Item>
            ))}
          </List>
        </Alert>
      )}
      {empty && (
        <Alert color="gray" mb="sm" icon={<IconInfoCircle size={18} />} title="The answer is empty">
          <Text size="sm">
            {whole.level === 'bad'
              ? 'A part of the tree is missing from it, so this does not say that there is nothing. '
              : 'No series is left of what was asked. '}
            <Anchor component={Link} underline="always" size="sm" to={whyAddress({ ...state, tab: 'empty' })}>
              Which matcher leaves nothing?
            </Anchor>
          </Text>
        </Alert>
      )}
      {told.evaluated && <Stats stats={figures(told)} />}
      <CriticalPath path={told.path} />
      <Tabs
        value={state.tab}
        onChange={(t) => change({ tab: tabs.find((v) => v === t) ?? 'plan' })}
        keepMounted={false}
      >
        <Group justify="space-between" gap="xs" mb="sm" wrap="wrap-reverse">
          <Tabs.List>
            {tabs.map((t) => (
              <Tabs.Tab key={t} value={t}>
                {tabTitles[t]}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<IconDownload size={14} />}
            onClick={() => saveJSON(`pando-why-${told.id || 'plan'}.json`, told.json)}
          >
            Explanation as JSON
          </Button>
        </Group>
        <Tabs.Panel value="plan">
          {more}
          {x && <PlanTree x={x} />}
          {x && !x.fragments?.length && (
            <Text size="sm" c="dimmed" mt="xs">
              {x.tier === 'leaf'
                ? 'A leaf evaluates all by itself over its own series, with Prometheus’ engine: there is nobody below to ask.'
                : 'Nothing of this query reads series, so no child is asked.'}
            </Text>
          )}
        </Tabs.Panel>
        <Tabs.Panel value="empty">
          <EmptyTab asked={told.asked} />
        </Tabs.Panel>
        <Tabs.Panel value="leaf">
          <LeafTab told={told} not={state.not} change={(not) => change({ not, tab: 'leaf' })} />
        </Tabs.Panel>
        <Tabs.Panel value="audit">
          <AuditTab
            key={JSON.stringify(told.asked)}
            asked={told.asked}
            pinned={state.id !== '' || state.range || state.time !== ''}
          />
        </Tabs.Panel>
      </Tabs>
    </>
  )
}

function figures(t: Told): Stat[] {
  const s = t.stats
  const some = (label: string, n: number | undefined, hint: string): Stat[] =>
    n ? [{ label, value: count(n), hint }] : []
  const rollups = s?.rollups ?? []
  return [
    { label: 'Took', value: duration(t.total), hint: 'From the request to the whole answer, in this tier' },
    { label: 'Queued', value: duration(t.queued), hint: 'Waiting for a turn' },
    ...(t.planned === undefined
      ? []
      : [{ label: 'Planned', value: duration(t.planned), hint: 'Deciding whom to ask what' }]),
    { label: 'Series', value: count(t.series), hint: 'In the answer' },
    { label: 'Samples', value: count(t.samples), hint: 'In the answer' },
    ...(s
      ? [
          { label: 'Moved', value: bytes(s.bytes), hint: 'Bytes between all tiers, on the wire or in memory' },
          {
            label: 'Read at leaves',
            value: `${count(s.series)} series`,
            hint: `${s.samples} samples came from the leaves`,
          },
          {
            label: 'Children',
            value: `${s.answered} of ${s.asked}`,
            hint: 'Children of all tiers that answered, of those asked',
          },
        ]
      : []),
    ...some('Late', s?.late, 'Children that missed their soft deadline'),
    ...some('Hedged', s?.hedged, 'Children with which a replica was raced, since they were slow'),
    ...some('Cached', s?.cached, 'Children whose part came in part from a cache'),
    ...(rollups.length
      ? [
          {
            label: 'Rollups',
            value: String(rollups.length),
            hint: rollups.map((r) => `${r.tier} ${r.rule}: ${r.steps} of ${r.of} steps`).join('; '),
          },
        ]
      : []),
    ...(t.cache ? [{ label: 'Cache', value: t.cache.state, hint: cacheHint(t.cache) }] : []),
  ]
}

function cacheHint(c: NonNullable<Told['cache']>): string {
  const shared = c.shared ? '; one answer was shared with another who asked the same' : ''
  return c.steps
    ? `${c.cached ?? 0} of ${c.steps} steps came from this tier’s cache${shared}`
    : `This tier’s result cache${shared}`
}
