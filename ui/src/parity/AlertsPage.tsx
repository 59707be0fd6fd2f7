import { Accordion, Anchor, Badge, Code, Group, SegmentedControl, Table, Text, TextInput, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link, useSearchParams } from 'react-router'
import { ask, belowTimeout } from '../api/client.ts'
import { useBelow } from '../api/below.ts'
import { memberParams, memberPath, type Alert, type Rule, type RuleGroup } from '../api/member.ts'
import { useTree, type Tree, type TreeNode } from '../api/tree.ts'
import { duration, numeric, value } from '../format/numbers.ts'
import { age } from '../format/times.ts'
import { DataTable, type Column } from '../parts/DataTable.tsx'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { Labels } from '../parts/Labels.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Stale } from '../parts/Stale.tsx'
import { When } from '../parts/When.tsx'
import { alertingRules, planetAlerts, tierSince, tiersToAsk, type PlanetAlert, type Sample } from './alerts.ts'
import { MemberPage } from './MemberPage.tsx'

export default function AlertsPage() {
  return <MemberPage path="alerts">{(member) => <Alerts key={member} member={member} />}</MemberPage>
}

function Alerts({ member }: { member: string }) {
  const { data: tree } = useTree()
  const [params, setParams] = useSearchParams()
  const mixes = member === '' && tree !== undefined && tree.self.tier !== 'leaf'
  const below = mixes && params.get('of') !== 'tier'
  return (
    <>
      {mixes && (
        <SegmentedControl
          size="xs"
          mb="xs"
          value={below ? 'below' : 'tier'}
          onChange={(of) =>
            setParams((p) => {
              p.set('of', of)
              return p
            })
          }
          data={[
            { value: 'below', label: 'of all tiers' },
            { value: 'tier', label: `rules of this ${tree?.self.tier}` },
          ]}
        />
      )}
      {tree && (below ? <Planet tree={tree} /> : <OfTier member={member} />)}
    </>
  )
}

const columns: Column<PlanetAlert>[] = [
  {
    key: 'state',
    title: 'State',
    width: '96px',
    render: (a) => <Health level={a.state === 'firing' ? 'bad' : 'warn'}>{a.state}</Health>,
    sort: (a) => a.state,
  },
  {
    key: 'name',
    title: 'Alert',
    width: 'minmax(140px, 1fr)',
    render: (a) => <b title={a.name}>{a.name}</b>,
    sort: (a) => a.name,
  },
  {
    key: 'labels',
    title: 'Labels',
    width: 'minmax(220px, 3fr)',
    render: (a) => <Labels labels={a.labels} />,
    sort: (a) => JSON.stringify(a.labels),
  },
  {
    key: 'since',
    title: 'Active for',
    width: '110px',
    numeric: true,
    render: (a) => <span>{duration(age(a.activeAt))}</span>,
    sort: (a) => age(a.activeAt),
  },
]

// Those of a tier that cannot be asked are shown without since when they are active.
async function alertsOf({ member, node }: { member: string; node: TreeNode }, signal: AbortSignal) {
  try {
    const o = { signal, timeout: belowTimeout }
    const path = memberPath('/api/v1/alerts', member)
    const { data } = await ask<{ alerts: Alert[] | null }>(path, memberParams({}, member), o)
    return { node, alerts: data.alerts ?? [] }
  } catch (e) {
    if (signal.aborted) throw e
    return { node, alerts: [] }
  }
}

/** Alerts of all tiers, as a query for their series sees them. */
export function Planet({ tree }: { tree: Tree }) {
  const [text, setText] = useState('')
  const { data, error, dataUpdatedAt, refetch } = useQuery({
    queryKey: ['alerts'],
    queryFn: async ({ signal }) => {
      const of = (query: string) =>
        ask<{ result: Sample[] }>('/api/v1/query', { query }, { signal, timeout: belowTimeout })
      // Those of zones and of the root have names of their own, and are found by them alone.
      const [since, ...tiers] = await Promise.all([
        of('ALERTS_FOR_STATE'),
        of('ALERTS'),
        of('zone:ALERTS'),
        of('root:ALERTS'),
      ])
      const alerts = tiers.flatMap((t) => t.data.result)
      const told = await Promise.all(tiersToAsk(alerts, tree).map((t) => alertsOf(t, signal)))
      return {
        alerts: planetAlerts(alerts, [...since.data.result, ...tierSince(told)]),
        warnings: [...new Set([since, ...tiers].flatMap((t) => t.warnings))],
      }
    },
    refetchInterval: 10_000,
  })
  if (error && !data) return <Failure what="The alerts could not be asked" error={error} retry={() => void refetch()} />
  if (!data) return <Loading what="asking all tiers for their alerts" />
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const rows = data.alerts.filter((a) =>
    words.every((w) =>
      [a.name, a.state, ...Object.entries(a.labels).map(([k, v]) => `${k}=${v}`)].join(' ').toLowerCase().includes(w),
    ),
  )
  return (
    <>
      {error && <Stale what="The alerts" error={error} at={dataUpdatedAt} retry={() => void refetch()} />}
      {data.warnings.map((w) => (
        <Failure
          key={w}
          what="Alerts may be missing from this list"
          error={w}
          todo="What fires there is not known. Leaves shows who is away, and since when."
        />
      ))}
      {data.alerts.length === 0 ? (
        <Empty title="No alert is pending or firing">Neither in a leaf nor in a tier above.</Empty>
      ) : (
        <>
          <TextInput
            size="xs"
            mb="xs"
            maw={360}
            placeholder="Name, or label=value"
            aria-label="Filter alerts"
            value={text}
            onChange={(e) => setText(e.currentTarget.value)}
          />
          <DataTable label="Alerts" rows={rows} columns={columns} rowKey={(a) => a.key} minWidth="640px" />
        </>
      )}
    </>
  )
}

function OfTier({ member }: { member: string }) {
  const [text, setText] = useState('')
  const { data, error, dataUpdatedAt, refetch } = useBelow<{ groups: RuleGroup[] }>(member, 'api/v1/rules', {
    params: { type: 'alert' },
    every: 10_000,
  })
  if (error && !data)
    return <Failure what="The alerting rules could not be read" error={error} retry={() => void refetch()} />
  if (!data) return <Loading what="reading the alerting rules" />
  const rules = alertingRules(data.groups, '')
  const old = error && <Stale what="The alerting rules" error={error} at={dataUpdatedAt} retry={() => void refetch()} />
  if (rules.length === 0)
    return (
      <>
        {old}
        <Empty title="This tier has no alerting rules">rule_files in its configuration name files with some.</Empty>
      </>
    )
  return (
    <>
      {old}
      <TextInput
        size="xs"
        mb="xs"
        maw={360}
        placeholder="Name, expression or label"
        aria-label="Filter alerting rules"
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
      />
      <Accordion multiple variant="separated" chevronPosition="left">
        {alertingRules(data.groups, text).map(({ group, rule, alerts }) => (
          <Accordion.Item key={itemOf(group, rule)} value={itemOf(group, rule)}>
            <Accordion.Control>
              <Group gap="sm">
                <Health level={rule.state === 'firing' ? 'bad' : rule.state === 'pending' ? 'warn' : 'good'}>
                  {rule.state}
                </Health>
                <Text fw={600}>{rule.name}</Text>
                {alerts.length > 0 && (
                  <Badge variant="light" color="gray" tt="none">
                    {alerts.length} active
                  </Badge>
                )}
              </Group>
            </Accordion.Control>
            <Accordion.Panel>
              <Anchor component={Link} to={`/query?g0.expr=${encodeURIComponent(rule.query)}&g0.tab=table`} size="sm">
                <Code block>{rule.query}</Code>
              </Anchor>
              <Text size="sm" c="dimmed" my={4}>
                group {group}, for {duration(rule.duration)}
                {rule.keepFiringFor ? `, keeps firing for ${duration(rule.keepFiringFor)}` : ''}
              </Text>
              {Object.entries(rule.annotations ?? {}).map(([k, v]) => (
                <Text key={k} size="sm">
                  {k}: {v}
                </Text>
              ))}
              {alerts.length > 0 && <Active alerts={alerts} />}
            </Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
    </>
  )
}

// It becomes a part of ids, in which a blank would begin another one.
function itemOf(group: string, rule: Rule): string {
  return encodeURIComponent(`${group}/${rule.name}/${rule.query}`)
}

function Active({ alerts }: { alerts: Alert[] }) {
  return (
    <>
      <Title order={3} size="h6" mt="sm">
        Active
      </Title>
      <Table.ScrollContainer minWidth={560}>
        <Table verticalSpacing={3}>
          <Table.Tbody>
            {alerts.map((a) => (
              <Table.Tr key={JSON.stringify(a.labels)}>
                <Table.Td w={90}>
                  <Health level={a.state === 'firing' ? 'bad' : 'warn'}>{a.state}</Health>
                </Table.Td>
                <Table.Td>
                  <Labels labels={a.labels} />
                  {Object.entries(a.annotations).map(([k, v]) => (
                    <Text key={k} size="sm" c="dimmed">
                      {k}: {v}
                    </Text>
                  ))}
                </Table.Td>
                <Table.Td w={150}>
                  <When t={a.activeAt} />
                </Table.Td>
                <Table.Td ta="right" w={100}>
                  {value(numeric(a.value))}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </>
  )
}
