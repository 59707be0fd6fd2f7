import { Anchor, Box, Table, Text, Title } from '@mantine/core'
import { Link } from 'react-router'
import { useRollupsOf, type Hole, type Rollup, type RollupList } from '../api/rollups.ts'
import { useTree, walk, type TreeNode } from '../api/tree.ts'
import { duration, whole } from '../format/numbers.ts'
import { When } from '../parts/When.tsx'
import { Strip } from './Strip.tsx'
import { strip } from './strip.ts'

interface Props {
  list: RollupList
  rule: Rollup
  /** How far back. */
  seconds: number
  /** Show the children of the tier too. */
  below: boolean
  member?: string
}

// More would be many requests at a time.
const mostChildren = 60

/** The strips of one rule: the tier's own, and those of its children, so that a hole is seen where it begins. */
export function Coverage({ list, rule, seconds, below, member = '' }: Props) {
  const { data: tree } = useTree()
  const now = Date.now() / 1000
  if (!below)
    return (
      <Box mt={6}>
        <Strip parts={strip(rule, now - seconds, now)} label={list.name} />
      </Box>
    )
  const children = tree ? childrenOf(tree.children, member) : []
  const asked = children.slice(0, mostChildren)
  return (
    <Box my="sm">
      <Row name={list.name}>
        <Strip parts={strip(rule, now - seconds, now)} label={list.name} />
      </Row>
      <Children nodes={asked} rule={rule} start={now - seconds} end={now} />
      {children.length > asked.length && (
        <Text size="xs" c="dimmed">
          {children.length - asked.length} more children are not shown: choose a zone above.
        </Text>
      )}
    </Box>
  )
}

function childrenOf(nodes: TreeNode[], member: string): TreeNode[] {
  if (member === '') return nodes
  let found: TreeNode[] = []
  walk(nodes, (n) => {
    if (n.name === member) found = n.children ?? []
  })
  return found
}

function Row({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <Box
      style={{ display: 'grid', gridTemplateColumns: 'minmax(90px, 180px) 1fr', gap: 8, alignItems: 'center' }}
      mb={3}
    >
      <Text size="xs" truncate title={name}>
        {name}
      </Text>
      {children}
    </Box>
  )
}

function Children({ nodes, rule, start, end }: { nodes: TreeNode[]; rule: Rollup; start: number; end: number }) {
  const answers = useRollupsOf(nodes.map((n) => n.name))
  return nodes.map((n, i) => {
    const a = answers[i]
    const own = a?.data?.rules.find((r) => r.id === rule.id) ?? a?.data?.rules.find((r) => r.name === rule.name)
    return (
      <Row key={n.name} name={n.name}>
        {own ? (
          <Strip parts={strip(own, start, end)} label={n.name} />
        ) : (
          <Text size="xs" c={a?.error ? 'red' : 'dimmed'}>
            {a?.error
              ? String(a.error.message)
              : a?.data === undefined
                ? 'asking …'
                : 'keeps no points of it: they are made of its raw series when asked'}
          </Text>
        )}
      </Row>
    )
  })
}

/** The holes of a rule, and who owes them; leftOut counts those that are newer, and not told. */
export function Holes({ holes, leftOut }: { holes: Hole[]; leftOut: number }) {
  if (holes.length === 0) return <Text size="sm">No holes: every point that is owed is there, and whole.</Text>
  return (
    <>
      <Title order={3} size="h6">
        Holes
      </Title>
      <Table.ScrollContainer minWidth={520}>
        <Table verticalSpacing={3}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>From</Table.Th>
              <Table.Th>To</Table.Th>
              <Table.Th ta="right">Length</Table.Th>
              <Table.Th>State</Table.Th>
              <Table.Th>Owed by</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {holes.map((h) => (
              <Table.Tr key={h.from + h.state}>
                <Table.Td>
                  <When t={h.from * 1000} />
                </Table.Td>
                <Table.Td>
                  <When t={h.to * 1000} />
                </Table.Td>
                <Table.Td ta="right">{duration(h.to - h.from)}</Table.Td>
                <Table.Td>{h.state}</Table.Td>
                <Table.Td>
                  {h.missing?.length
                    ? h.missing.map((m) => (
                        <Anchor key={m} component={Link} to={`/leaf?name=${encodeURIComponent(m)}`} size="sm" mr="xs">
                          {m}
                        </Anchor>
                      ))
                    : 'see why the last attempt failed'}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {leftOut > 0 && (
        <Text size="sm" mt={4}>
          These are the oldest holes. {leftOut === 1 ? 'One newer is' : `${whole(leftOut)} newer are`} not told: what is
          between them is not known here.
        </Text>
      )}
    </>
  )
}
