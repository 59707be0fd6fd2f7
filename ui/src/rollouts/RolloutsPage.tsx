import { Alert, Group, Tabs, Text } from '@mantine/core'
import { useSearchParams } from 'react-router'
import { ApiError } from '../api/client.ts'
import { useRollouts, type Rollouts } from '../api/rollouts.ts'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Stale } from '../parts/Stale.tsx'
import { Page } from '../parts/Page.tsx'
import { Stats } from '../parts/Stats.tsx'
import { Commands } from './Commands.tsx'
import { Commits } from './Commits.tsx'
import { Diff } from './Diff.tsx'
import { History } from './History.tsx'
import { short } from '../format/revisions.ts'
import { levelOf, verdict } from './state.ts'
import { Waves } from './Waves.tsx'

export default function RolloutsPage() {
  const { data, error, dataUpdatedAt, refetch } = useRollouts()
  return (
    <Page path="rollouts" actions={data && <Commands rollouts={data} />}>
      {error instanceof ApiError && error.status === 404 ? (
        <Empty title="No rollouts are known here">
          Control loops deliver configuration from git, wave by wave. The root tells of them if it was started with
          --rollouts.loop, once for each loop; pando dev has them from the start. At leaves and zones, Config shows what
          is loaded.
        </Empty>
      ) : (
        error &&
        (data ? (
          <Stale what="The rollouts" error={error} at={dataUpdatedAt} retry={() => void refetch()} />
        ) : (
          <Failure what="The rollouts could not be read" error={error} retry={() => void refetch()} />
        ))
      )}
      {!error && !data && <Loading what="reading the rollouts" />}
      {data && <Whole rollouts={data} />}
    </Page>
  )
}

function Whole({ rollouts: r }: { rollouts: Rollouts }) {
  const [params, setParams] = useSearchParams()
  const tab = params.get('tab') ?? 'waves'
  const clusters = (r.waves ?? []).flatMap((w) => w.clusters ?? [])
  const there = r.target ? (r.running?.[r.target] ?? 0) : 0
  const open = (changes: Record<string, string>) =>
    setParams((p) => {
      for (const [k, v] of Object.entries(changes)) p.set(k, v)
      return p
    })
  return (
    <>
      <Group gap="sm" mb="xs">
        <Health level={levelOf(r.state)}>
          <b>{r.state}</b>
        </Health>
        <Text size="sm">{verdict(r)}</Text>
      </Group>
      {r.doing && (
        <Text size="sm" c="dimmed" mb="xs" style={{ overflowWrap: 'anywhere' }}>
          {r.doing}
        </Text>
      )}
      <Stats
        stats={[
          { label: 'Follows', value: r.ref ?? '–' },
          { label: 'Newest valid', value: <code>{short(r.target)}</code> },
          { label: 'Clusters that run it', value: `${there} of ${clusters.length}` },
          { label: 'Waves', value: r.waves?.length ?? 0 },
        ]}
      />
      <Notices r={r} />
      <Tabs value={tab} onChange={(v) => open({ tab: v ?? 'waves' })} keepMounted={false}>
        <Tabs.List mb="sm">
          <Tabs.Tab value="waves">Waves</Tabs.Tab>
          <Tabs.Tab value="commits">Commits</Tabs.Tab>
          <Tabs.Tab value="diff">Difference</Tabs.Tab>
          <Tabs.Tab value="history">History</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="waves">
          <Waves rollouts={r} />
        </Tabs.Panel>
        <Tabs.Panel value="commits">
          <Commits onDiff={(from, to) => open({ tab: 'diff', from, to })} />
        </Tabs.Panel>
        <Tabs.Panel value="diff">
          <Diff
            from={params.get('from') ?? ''}
            to={params.get('to') ?? ''}
            cluster={params.get('cluster') ?? ''}
            onChange={open}
            clusters={clusters.map((c) => c.cluster)}
          />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <History />
        </Tabs.Panel>
      </Tabs>
    </>
  )
}

// What must not be overlooked: who does not answer, and which commits were turned away.
function Notices({ r }: { r: Rollouts }) {
  return (
    <>
      {(r.warnings ?? []).map((w) => (
        <Alert key={w} color="orange" my="xs" role="alert">
          {w}
        </Alert>
      ))}
      {(r.refused ?? []).map((x) => (
        <Alert
          key={x.revision}
          color="red"
          my="xs"
          role="alert"
          title={`${short(x.revision)} cannot be used (${x.reason ?? 'refused'})`}
        >
          <Text size="sm" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
            {x.message}
          </Text>
        </Alert>
      ))}
      {(r.rejected ?? []).map((x) => (
        <Alert
          key={x.revision + x.cluster}
          color="red"
          my="xs"
          role="alert"
          title={`${short(x.revision)} was rejected${x.cluster ? ` by ${x.cluster}` : ''}`}
        >
          <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
            {x.why}
          </Text>
        </Alert>
      ))}
      {(r.paused ?? []).length > 0 && (
        <Alert color="orange" my="xs" role="alert">
          Paused: {(r.paused ?? []).join(', ')}
        </Alert>
      )}
    </>
  )
}
