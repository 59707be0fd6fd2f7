import { Button, Table, Text } from '@mantine/core'
import { useState } from 'react'
import { useCommits, type Commit } from '../api/rollouts.ts'
import { Empty } from '../parts/Empty.tsx'
import { Health } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Unread } from '../parts/Unread.tsx'
import { When } from '../parts/When.tsx'
import { short } from '../format/revisions.ts'
import { levelOf } from './state.ts'

/** Commits, newest first, with what became of each. */
export function Commits({ onDiff }: { onDiff: (from: string, to: string) => void }) {
  const [limit, setLimit] = useState(50)
  const read = useCommits(limit)
  const { data } = read
  const note = <Unread what="The list of commits" of={read} />
  if (!data) return read.error ? note : <Loading what="reading the commits" />
  const commits = data.commits ?? []
  if (commits.length === 0)
    return (
      <>
        {note}
        <Empty title="No commit has been seen yet">
          The loops fetch the repository at intervals, or when a webhook tells them.
        </Empty>
      </>
    )
  return (
    <>
      {note}
      <Table.ScrollContainer minWidth={760}>
        <Table verticalSpacing={4}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={130}>Revision</Table.Th>
              <Table.Th>Commit</Table.Th>
              <Table.Th w={170}>When</Table.Th>
              <Table.Th w={220}>State</Table.Th>
              <Table.Th w={110}>Difference</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {commits.map((c, i) => (
              <Row key={c.revision} c={c} before={c.parents?.[0] ?? commits[i + 1]?.revision} onDiff={onDiff} />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {data.truncated && (
        <Button size="xs" variant="default" onClick={() => setLimit(limit * 2)}>
          Older ones
        </Button>
      )}
    </>
  )
}

function Row({
  c,
  before,
  onDiff,
}: {
  c: Commit
  before: string | undefined
  onDiff: (from: string, to: string) => void
}) {
  const rejected = [c.rejected ?? []].flat()
  return (
    <Table.Tr style={{ verticalAlign: 'top' }}>
      <Table.Td>
        <code title={c.revision}>{short(c.revision)}</code>
      </Table.Td>
      <Table.Td>
        <Text size="sm" title={c.message} style={{ overflowWrap: 'anywhere' }}>
          {c.subject}
        </Text>
        <Text size="xs" c="dimmed">
          {c.author}
          {c.signer ? `, signed by ${c.signer}` : ''}
        </Text>
        {rejected.map((r) => (
          <Text key={r.cluster} size="xs" c="red">
            {r.cluster ? `${r.cluster}: ` : ''}
            {r.why}
          </Text>
        ))}
        {c.refused && (
          <Text size="xs" c="red" style={{ overflowWrap: 'anywhere' }}>
            {c.refused.message ?? c.refused.reason}
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        <When t={c.when} />
      </Table.Td>
      <Table.Td>
        <Health level={levelOf(c.state)}>{c.state}</Health>
        {c.clusters && c.clusters.length > 0 && (
          <Text size="xs" c="dimmed" title={c.clusters.join(', ')}>
            {c.clusters.length <= 4 ? c.clusters.join(', ') : `${c.clusters.length} clusters`}
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        {before && (
          <Button size="compact-xs" variant="default" onClick={() => onDiff(before, c.revision)}>
            what changed
          </Button>
        )}
      </Table.Td>
    </Table.Tr>
  )
}
