import { Anchor, Badge, Code, Group, Paper, Table, Text, TextInput, Title } from '@mantine/core'
import { useState } from 'react'
import { Link } from 'react-router'
import { useBelow } from '../api/below.ts'
import { type Rule, type RuleGroup } from '../api/member.ts'
import { duration } from '../format/numbers.ts'
import { age } from '../format/times.ts'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Stale } from '../parts/Stale.tsx'
import { MemberPage } from './MemberPage.tsx'

export default function RulesPage() {
  return <MemberPage path="rules">{(member) => <Rules key={member} member={member} />}</MemberPage>
}

/** The rules that one tier evaluates. */
export function Rules({ member }: { member: string }) {
  const [text, setText] = useState('')
  const { data, error, dataUpdatedAt, refetch } = useBelow<{ groups: RuleGroup[] }>(member, 'api/v1/rules', {
    every: 10_000,
  })
  if (error && !data) return <Failure what="The rules could not be read" error={error} retry={() => void refetch()} />
  if (!data) return <Loading what="reading the rules" />
  if (data.groups.length === 0)
    return (
      <>
        {error && <Stale what="The rules" error={error} at={dataUpdatedAt} retry={() => void refetch()} />}
        <Empty title="No rules are evaluated here">
          rule_files in the tier&apos;s configuration name files with some. Leaves have rules of their own: choose one
          above.
        </Empty>
      </>
    )
  const wanted = text.trim().toLowerCase()
  const matches = (r: Rule) =>
    `${r.name} ${r.query} ${JSON.stringify(r.labels ?? {})} ${r.lastError ?? ''}`.toLowerCase().includes(wanted)
  const groups = data.groups.map((g) => ({ ...g, rules: g.rules.filter(matches) })).filter((g) => g.rules.length > 0)
  return (
    <>
      {error && <Stale what="The rules" error={error} at={dataUpdatedAt} retry={() => void refetch()} />}
      <TextInput
        size="xs"
        mb="xs"
        maw={360}
        placeholder="Name, expression, label or error"
        aria-label="Filter rules"
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
      />
      {groups.length === 0 && <Empty title="No rule matches">Take a part of the filter away.</Empty>}
      {groups.map((g) => (
        <GroupPart key={g.file + g.name} group={g} />
      ))}
    </>
  )
}

function GroupPart({ group }: { group: RuleGroup }) {
  const failing = group.rules.filter((r) => r.health === 'err').length
  const late = group.evaluationTime > group.interval
  return (
    <Paper withBorder p="sm" mb="sm">
      <Group justify="space-between" mb={4}>
        <Group gap="xs">
          <Title order={2} size="h5">
            {group.name}
          </Title>
          {failing > 0 && (
            <Badge color="red" variant="light" tt="none">
              {failing} failing
            </Badge>
          )}
          {late && (
            <Badge color="orange" variant="light" tt="none">
              takes longer than its interval
            </Badge>
          )}
        </Group>
        <Text size="sm" c="dimmed">
          every {duration(group.interval)}, took {duration(group.evaluationTime)}, {duration(age(group.lastEvaluation))}{' '}
          ago
        </Text>
      </Group>
      <Text size="xs" c="dimmed" mb="xs" style={{ overflowWrap: 'anywhere' }}>
        {group.file}
      </Text>
      <Table.ScrollContainer minWidth={600}>
        <Table verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={92}>State</Table.Th>
              <Table.Th>Rule</Table.Th>
              <Table.Th ta="right" w={90}>
                Took
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {group.rules.map((r) => (
              <Table.Tr key={r.type + r.name + r.query} style={{ verticalAlign: 'top' }}>
                <Table.Td>
                  <Health
                    level={
                      r.health === 'err'
                        ? 'bad'
                        : r.health === 'unknown'
                          ? 'off'
                          : r.state === 'firing'
                            ? 'warn'
                            : 'good'
                    }
                  >
                    {r.health === 'err' ? 'error' : r.health === 'unknown' ? 'not yet' : (r.state ?? 'ok')}
                  </Health>
                </Table.Td>
                <Table.Td>
                  <Text size="sm">
                    {r.type === 'alerting' ? 'alert ' : 'record '}
                    <b>{r.name}</b>
                  </Text>
                  <Anchor component={Link} to={`/query?g0.expr=${encodeURIComponent(r.query)}&g0.tab=table`} size="sm">
                    <Code style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }}>{r.query}</Code>
                  </Anchor>
                  {r.lastError && (
                    <Text size="sm" c="red" style={{ overflowWrap: 'anywhere' }}>
                      {r.lastError}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td ta="right" style={{ fontVariantNumeric: 'tabular-nums' }}>
                  {duration(r.evaluationTime)}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  )
}
