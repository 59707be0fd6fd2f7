import { Accordion, Badge, Button, Group, SegmentedControl, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import { Link, useSearchParams } from 'react-router'
import { useBelow } from '../api/below.ts'
import { type Target, type Targets as Answer } from '../api/member.ts'
import { useTree } from '../api/tree.ts'
import { duration } from '../format/numbers.ts'
import { age } from '../format/times.ts'
import { DataTable, type Column } from '../parts/DataTable.tsx'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { Labels } from '../parts/Labels.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Stale } from '../parts/Stale.tsx'
import { MemberPage } from './MemberPage.tsx'
import { pools, type HealthFilter, type Pool } from './targets.ts'

export default function TargetsPage() {
  return <MemberPage path="targets">{(member) => <Targets key={member} member={member} />}</MemberPage>
}

/** The targets that are scraped, of one tier. */
export function Targets({ member }: { member: string }) {
  const [params, setParams] = useSearchParams()
  const health = (params.get('health') ?? 'all') as HealthFilter
  const [text, setText] = useState('')
  const { data, error, dataUpdatedAt, refetch } = useBelow<Answer>(member, 'api/v1/targets', {
    // Of those dropped each comes with all that was discovered of it: there may be many times more of them than a tier passes on.
    params: { state: 'active' },
    every: 10_000,
  })
  if (error && !data) return <Failure what="The targets could not be read" error={error} retry={() => void refetch()} />
  if (!data) return <Loading what="reading the targets" />
  const active = data.activeTargets ?? []
  const shown = pools(active, text, health)
  const down = active.filter((t) => t.health === 'down').length
  const old = error && <Stale what="The targets" error={error} at={dataUpdatedAt} retry={() => void refetch()} />
  if (active.length === 0)
    return (
      <>
        {old}
        <NoTargets member={member} />
      </>
    )
  const choose = (v: string) =>
    setParams((p) => {
      p.set('health', v)
      return p
    })
  return (
    <>
      {old}
      <Group mb="xs" gap="sm">
        <SegmentedControl
          size="xs"
          value={health}
          onChange={choose}
          data={[
            { value: 'all', label: `all ${active.length}` },
            { value: 'down', label: `down ${down}` },
            { value: 'unknown', label: 'not scraped yet' },
            { value: 'up', label: 'up' },
          ]}
        />
        <TextInput
          size="xs"
          w={260}
          placeholder="Label, URL or error"
          aria-label="Filter targets"
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
        />
        <Text size="sm" c="dimmed">
          without those that relabelling drops
        </Text>
      </Group>
      {shown.length === 0 && <Empty title="No target matches">Take a part of the filter away.</Empty>}
      <Accordion
        multiple
        defaultValue={shown.filter((p) => p.targets.length <= 50 || p.up < p.of).map((p) => itemOf(p.name))}
        chevronPosition="left"
        variant="separated"
      >
        {shown.map((p) => (
          <PoolPart key={p.name} pool={p} />
        ))}
      </Accordion>
    </>
  )
}

function NoTargets({ member }: { member: string }) {
  const { data: tree } = useTree()
  if (member === '' && tree && tree.self.tier !== 'leaf')
    return (
      <Empty title={`A ${tree.self.tier} scrapes nothing`}>
        <Text size="sm" mb="xs">
          Leaves scrape. Choose one above, or ask for what is down anywhere:
        </Text>
        <Button component={Link} to="/query?g0.expr=up+%3D%3D+0&g0.tab=table" variant="default" size="xs">
          up == 0
        </Button>
      </Empty>
    )
  return (
    <Empty title="There are no targets">
      Its configuration has no scrape_configs, service discovery finds nothing, or relabelling drops all that it finds.
    </Empty>
  )
}

const columns: Column<Target>[] = [
  {
    key: 'health',
    title: 'State',
    width: '88px',
    render: (t) => <Health level={t.health === 'up' ? 'good' : t.health === 'down' ? 'bad' : 'off'}>{t.health}</Health>,
    sort: (t) => t.health,
  },
  {
    key: 'url',
    title: 'Endpoint',
    width: 'minmax(180px, 2fr)',
    render: (t) => <span title={t.globalUrl}>{t.scrapeUrl}</span>,
    sort: (t) => t.scrapeUrl,
  },
  {
    key: 'labels',
    title: 'Labels',
    width: 'minmax(160px, 2fr)',
    render: (t) => (
      <span title={JSON.stringify(t.discoveredLabels, null, 1)}>
        <Labels labels={t.labels} />
      </span>
    ),
  },
  {
    key: 'last',
    title: 'Last scrape',
    hint: 'How long ago',
    width: '92px',
    numeric: true,
    render: (t) => (t.health === 'unknown' ? 'never' : duration(age(t.lastScrape))),
    sort: (t) => age(t.lastScrape),
  },
  {
    key: 'took',
    title: 'Took',
    width: '80px',
    numeric: true,
    render: (t) => duration(t.lastScrapeDuration),
    sort: (t) => t.lastScrapeDuration,
  },
  {
    key: 'error',
    title: 'Error',
    width: 'minmax(120px, 2fr)',
    render: (t) => <span title={t.lastError}>{t.lastError}</span>,
    sort: (t) => t.lastError || undefined,
  },
]

// It becomes a part of ids, in which a blank would begin another one.
const itemOf = encodeURIComponent

function PoolPart({ pool }: { pool: Pool }) {
  const whole = pool.up === pool.of
  return (
    <Accordion.Item value={itemOf(pool.name)}>
      <Accordion.Control>
        <Group gap="xs">
          <Text fw={600}>{pool.name}</Text>
          <Badge variant="light" color={whole ? 'teal' : 'red'} tt="none">
            {pool.up} of {pool.of} up
          </Badge>
          {pool.targets.length < pool.of && (
            <Text size="sm" c="dimmed">
              {pool.targets.length} shown
            </Text>
          )}
        </Group>
      </Accordion.Control>
      <Accordion.Panel>
        <DataTable
          label={`Targets of ${pool.name}`}
          rows={pool.targets}
          columns={columns}
          rowKey={(t) => t.scrapeUrl + JSON.stringify(t.labels)}
          height="420px"
          minWidth="820px"
        />
      </Accordion.Panel>
    </Accordion.Item>
  )
}
