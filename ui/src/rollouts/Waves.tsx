import { Anchor, Group, Paper, Progress, Table, Text, Title } from '@mantine/core'
import { Link } from 'react-router'
import type { Gate, Rollouts, Wave } from '../api/rollouts.ts'
import { duration } from '../format/numbers.ts'
import { Empty } from '../parts/Empty.tsx'
import { Health } from '../parts/Health.tsx'
import { Labels } from '../parts/Labels.tsx'
import { When } from '../parts/When.tsx'
import { short } from '../format/revisions.ts'
import { arrived, baking, clusterText, gateText, levelOf } from './state.ts'

/** The waves in their order: clusters, gates and bake timers. */
export function Waves({ rollouts: r }: { rollouts: Rollouts }) {
  if (!r.waves?.length)
    return (
      <Empty title="There are no waves yet">planet.yaml of the repository says which clusters are in which wave.</Empty>
    )
  const now = Date.parse(r.time)
  return r.waves.map((w, i) => <WavePart key={w.name} wave={w} number={i + 1} target={r.target} now={now} />)
}

function WavePart({
  wave: w,
  number,
  target,
  now,
}: {
  wave: Wave
  number: number
  target: string | undefined
  now: number
}) {
  const bake = baking(w, now)
  const clusters = w.clusters ?? []
  return (
    <Paper withBorder p="sm" mb="sm" component="section" aria-label={`Wave ${w.name}`}>
      <Group justify="space-between" mb="xs">
        <Group gap="sm">
          <Title order={2} size="h5">
            {number}. {w.name}
          </Title>
          <Health level={levelOf(w.state)}>{w.state}</Health>
        </Group>
        <Text size="sm" c="dimmed">
          {arrived(w, target)} of {clusters.length} run {short(target)} · bakes for {duration(w.bakeSeconds)}
        </Text>
      </Group>
      {bake && (
        <>
          <Progress value={bake.share * 100} size="sm" aria-label={`Bake of wave ${w.name}`} />
          <Text size="xs" c="dimmed" mb="xs">
            {bake.left > 0 ? `${duration(bake.left)} of the bake are left; the next wave advances at ` : 'baked since '}
            <When t={w.bake?.until} short />
            {bake.left > 0 && ' at the earliest'}
          </Text>
        </>
      )}
      <Gates gates={w.gates ?? []} />
      <Table.ScrollContainer minWidth={780}>
        <Table verticalSpacing={3} mt="xs">
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={150}>Cluster</Table.Th>
              <Table.Th w={90}>Zone</Table.Th>
              <Table.Th w={130}>Runs</Table.Th>
              <Table.Th w={170}>Since</Table.Th>
              <Table.Th>Doing</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {clusters.map((c) => {
              const t = clusterText(c)
              return (
                <Table.Tr key={c.cluster}>
                  <Table.Td>
                    <Anchor component={Link} to={`/leaves?q=${encodeURIComponent('cluster=' + c.cluster)}`} size="sm">
                      {c.cluster}
                    </Anchor>
                  </Table.Td>
                  <Table.Td>{c.zone}</Table.Td>
                  <Table.Td>
                    <code>{short(c.running)}</code>
                  </Table.Td>
                  <Table.Td>
                    <When t={c.runningAt} />
                  </Table.Td>
                  <Table.Td>
                    <Health level={t.level}>{t.text}</Health>
                  </Table.Td>
                </Table.Tr>
              )
            })}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  )
}

function Gates({ gates }: { gates: Gate[] }) {
  if (gates.length === 0)
    return (
      <Text size="sm" c="dimmed">
        No gate: only the bake time is waited for.
      </Text>
    )
  return (
    <Table.ScrollContainer minWidth={900}>
      <Table verticalSpacing={3}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={170}>Gate</Table.Th>
            <Table.Th>Query</Table.Th>
            <Table.Th ta="right" w={90}>
              Value
            </Table.Th>
            <Table.Th w={200}>Verdict</Table.Th>
            <Table.Th w={100}>Asked</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {gates.map((g) => {
            const v = gateText(g)
            return (
              <Table.Tr key={g.name} style={{ verticalAlign: 'top' }}>
                <Table.Td>{g.name}</Table.Td>
                <Table.Td>
                  <Anchor component={Link} to={`/query?g0.expr=${encodeURIComponent(g.expr)}&g0.tab=graph`} size="sm">
                    <code style={{ overflowWrap: 'anywhere' }}>{g.expr}</code>
                  </Anchor>
                  {g.labels && Object.keys(g.labels).length > 0 && (
                    <Text size="xs">
                      decided by <Labels labels={g.labels} />
                    </Text>
                  )}
                  {g.error && (
                    <Text size="xs" c="red" style={{ overflowWrap: 'anywhere' }}>
                      {g.error}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td ta="right" style={{ fontVariantNumeric: 'tabular-nums' }}>
                  {g.verdict === '' ? '' : g.samples === 0 ? 'no sample' : (g.value ?? '')}
                </Table.Td>
                <Table.Td>
                  <Health level={v.level}>{v.text}</Health>
                  {g.verdict === 'holds' && g.heldSince && (
                    <Text size="xs" c="dimmed">
                      since <When t={g.heldSince} short />
                      {g.forSeconds ? `, must for ${duration(g.forSeconds)}` : ''}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td>{g.at && <When t={g.at} short />}</Table.Td>
              </Table.Tr>
            )
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}
