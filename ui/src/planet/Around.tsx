import { Alert, Anchor, Group, Paper, Text, Title } from '@mantine/core'
import { Link } from 'react-router'
import type { Parent, Refusal, TreeNode } from '../api/tree.ts'
import { bytes, duration } from '../format/numbers.ts'
import { unusedReasons } from '../leaves/standing.ts'
import { Health } from '../parts/Health.tsx'
import { When } from '../parts/When.tsx'

const named = 3

/** Names the members that are away or do not tell who is below them, since when and why, before all else. */
export function Missing({ nodes }: { nodes: TreeNode[] }) {
  if (nodes.length === 0) return null
  return (
    <Alert color="red" p="xs" mb="xs" title={titleOf(nodes)}>
      {nodes.slice(0, named).map((n, i) => (
        <Text size="sm" key={n.name + String(i)} style={{ overflowWrap: 'anywhere' }}>
          {n.tier}{' '}
          <Anchor
            component={Link}
            to={`/leaf?name=${encodeURIComponent(n.name)}`}
            size="sm"
            c="inherit"
            underline="always"
          >
            {n.name}
          </Anchor>
          {n.state === 'missing' && n.since && (
            <>
              {' '}
              since <When t={n.since} /> (<When t={n.since} ago />)
            </>
          )}
          : {n.error || 'its connection ended; why is not known'}
          {n.tier !== 'leaf' && '; how the leaves below it are is not known'}
        </Text>
      ))}
      {nodes.length > named && (
        <Anchor component={Link} to="/leaves?state=missing" size="sm" c="inherit" underline="always">
          all {nodes.length}
        </Anchor>
      )}
    </Alert>
  )
}

function titleOf(nodes: TreeNode[]): string {
  const missing = nodes.filter((n) => n.state === 'missing').length
  const silent = nodes.length - missing
  const away =
    missing === 1
      ? '1 member is missing: answers lack its part'
      : `${missing} members are missing: answers lack their part`
  const mute = silent === 1 ? '1 zone did not tell of its leaves' : `${silent} zones did not tell of their leaves`
  return [missing > 0 && away, silent > 0 && mute].filter(Boolean).join('; ')
}

/** The tiers above. */
export function Parents({ parents }: { parents: Parent[] }) {
  if (parents.length === 0) return null
  return (
    <Group gap="xs" mb="xs" component="section" aria-label="Parents">
      <Text size="xs" c="dimmed">
        above:
      </Text>
      {parents.map((p) => (
        <Paper key={p.address} withBorder px="xs" py={2}>
          <Health level={p.state === 'connected' ? 'good' : 'bad'}>
            {p.name ? `${p.name} (${p.address})` : p.address} {p.state}
            {p.since && (
              <>
                {' for '}
                <When t={p.since} ago />
              </>
            )}
            {p.error && `: ${p.error}`}
          </Health>
          {p.hints && (
            <Text size="xs" c="dimmed">
              {p.hints.unused
                ? `does not use our hints: ${unusedReasons[p.hints.unused] ?? p.hints.unused}`
                : p.hints.unacknowledgedBytes > 0
                  ? `hints on their way: ${bytes(p.hints.unacknowledgedBytes)}, for ${duration(p.hints.unacknowledgedAge)}`
                  : 'has all our hints'}
            </Text>
          )}
        </Paper>
      ))}
    </Group>
  )
}

/** Registrations that were refused: somebody wanted to be a member, and is not. */
export function Refused({ refused }: { refused: Refusal[] }) {
  if (refused.length === 0) return null
  return (
    <Paper withBorder p="sm" mt="sm" component="section" aria-label="Refused registrations">
      <Title order={2} size="h5">
        Refused registrations ({refused.length})
      </Title>
      <Text size="xs" c="dimmed" mb={4}>
        Members that wanted to connect and were not let in, newest first.
      </Text>
      {refused.slice(0, 20).map((r, i) => (
        <Text size="sm" key={i} style={{ overflowWrap: 'anywhere' }}>
          <When t={r.at} /> <b>{r.name || 'unnamed'}</b> from {r.remote}: {r.reason}
        </Text>
      ))}
    </Paper>
  )
}
