import { SimpleGrid, Table, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import { useBelow } from '../api/below.ts'
import { type Counted, type TSDBStatus } from '../api/member.ts'
import { bytes, duration, none, whole } from '../format/numbers.ts'
import { age } from '../format/times.ts'
import { Empty } from '../parts/Empty.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Unread } from '../parts/Unread.tsx'
import { When } from '../parts/When.tsx'
import { MemberPage } from './MemberPage.tsx'

interface Runtime {
  startTime: string
  CWD: string
  hostname: string
  serverTime: string
  reloadConfigSuccess: boolean
  lastConfigTime: string
  corruptionCount: number
  goroutineCount: number
  GOMAXPROCS: number
  GOMEMLIMIT: number
  GOGC: string
  GODEBUG: string
  storageRetention: string
}

interface Build {
  version: string
  revision: string
  branch: string
  buildUser: string
  buildDate: string
  goVersion: string
}

export default function StatusPage() {
  return <MemberPage path="status">{(member) => <Status key={member} member={member} />}</MemberPage>
}

/** What one tier says of its process and its storage. */
export function Status({ member }: { member: string }) {
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg">
      <RuntimePart member={member} />
      <BuildPart member={member} />
      <HeadPart member={member} />
      <AlertmanagersPart member={member} />
    </SimpleGrid>
  )
}

function Facts({ title, facts, note }: { title: string; facts: [string, ReactNode][]; note: ReactNode }) {
  return (
    <section>
      <Title order={2} size="h5" mb={4}>
        {title}
      </Title>
      {note}
      <Table verticalSpacing={3}>
        <Table.Tbody>
          {facts.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th scope="row" fw={400} w="40%">
                {name}
              </Table.Th>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>{value === '' ? none : value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </section>
  )
}

// Go's way to say that there is no limit.
const unlimited = 2 ** 62

function RuntimePart({ member }: { member: string }) {
  const read = useBelow<Runtime>(member, 'api/v1/status/runtimeinfo', { every: 5000 })
  const { data } = read
  const note = <Unread what="The runtime status" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the runtime status" />
  const facts: [string, ReactNode][] = [
    ['Started', <When key="s" t={data.startTime} />],
    ['Up for', duration(age(data.startTime, new Date(data.serverTime).getTime()))],
    ['Host', data.hostname],
    ['Working directory', data.CWD],
    ['Configuration', data.reloadConfigSuccess ? 'loaded' : 'the last reload failed'],
    ['Loaded at', <When key="l" t={data.lastConfigTime} />],
    ['Goroutines', whole(data.goroutineCount)],
    ['GOMAXPROCS', data.GOMAXPROCS],
    ['GOMEMLIMIT', data.GOMEMLIMIT > unlimited ? 'none' : bytes(data.GOMEMLIMIT)],
    ['GOGC', data.GOGC || 'default'],
    ['WAL corruptions', data.corruptionCount],
    ['Retention', data.storageRetention],
  ]
  return <Facts title="Runtime" facts={facts} note={note} />
}

function BuildPart({ member }: { member: string }) {
  const read = useBelow<Build>(member, 'api/v1/status/buildinfo')
  const { data } = read
  const note = <Unread what="The build" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the build" />
  return (
    <Facts
      title="Prometheus API"
      note={note}
      facts={[
        ['Version', data.version],
        ['Revision', data.revision],
        ['Go', data.goVersion],
        ['Built', data.buildDate],
      ]}
    />
  )
}

function HeadPart({ member }: { member: string }) {
  const read = useBelow<TSDBStatus>(member, 'api/v1/status/tsdb')
  const { data } = read
  const note = <Unread what="The storage's status" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the storage's status" />
  const h = data.headStats
  return (
    <section>
      <Facts
        title="Storage"
        note={note}
        facts={[
          ['Series in the head', whole(h.numSeries)],
          ['Label pairs', h.numLabelPairs ? whole(h.numLabelPairs) : none],
          ['Chunks', h.chunkCount ? whole(h.chunkCount) : none],
          // Zero is what a tier says that does not know, and not 1970.
          ['Oldest sample', h.minTime > 0 ? <When key="o" t={h.minTime} /> : none],
          ['Newest sample', h.maxTime > 0 ? <When key="n" t={h.maxTime} /> : none],
        ]}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }} mt="sm">
        <Top title="Series by metric name" rows={data.seriesCountByMetricName} show={whole} />
        <Top title="Values by label name" rows={data.labelValueCountByLabelName} show={whole} />
        <Top title="Memory by label name" rows={data.memoryInBytesByLabelName} show={bytes} />
        <Top title="Series by label pair" rows={data.seriesCountByLabelValuePair} show={whole} />
      </SimpleGrid>
      {!data.seriesCountByMetricName?.length && (
        <Empty title="No cardinality is known here">
          Leaves keep the series, and know their own: choose one above.
        </Empty>
      )}
    </section>
  )
}

/** The largest of their kind. */
export function Top({ title, rows, show }: { title: string; rows: Counted[] | null; show: (n: number) => string }) {
  if (!rows?.length) return null
  return (
    <section>
      <Title order={3} size="h6" mb={4}>
        {title}
      </Title>
      <Table verticalSpacing={2} layout="fixed">
        <Table.Tbody>
          {rows.map((r) => (
            <Table.Tr key={r.name}>
              <Table.Td style={{ overflow: 'hidden', textOverflow: 'ellipsis', whiteSpace: 'nowrap' }} title={r.name}>
                {r.name}
              </Table.Td>
              <Table.Td w={96} ta="right" style={{ fontVariantNumeric: 'tabular-nums' }}>
                {show(r.value)}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </section>
  )
}

function AlertmanagersPart({ member }: { member: string }) {
  const read = useBelow<{ activeAlertmanagers: { url: string }[] | null }>(member, 'api/v1/alertmanagers')
  const { data } = read
  const note = <Unread what="The list of Alertmanagers" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the Alertmanagers" />
  const urls = (data.activeAlertmanagers ?? []).map((a) => a.url)
  return (
    <Facts
      title="Alertmanagers"
      note={note}
      facts={
        urls.length
          ? urls.map((u, i) => [String(i + 1), u])
          : [['None', 'Alerts of this tier are sent to nobody: alerting in its configuration names Alertmanagers.']]
      }
    />
  )
}
