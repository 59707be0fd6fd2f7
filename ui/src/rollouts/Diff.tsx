import { Anchor, Box, Group, Paper, Select, Text } from '@mantine/core'
import { Link } from 'react-router'
import { useCommits, useDiff, type Change } from '../api/rollouts.ts'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import { short } from '../format/revisions.ts'
import { placesText } from './state.ts'

interface Props {
  from: string
  to: string
  cluster: string
  clusters: string[]
  onChange: (changes: Record<string, string>) => void
}

/** What two revisions mean for the clusters, not how their files differ. */
export function Diff({ from, to, cluster, clusters, onChange }: Props) {
  const { data: commits } = useCommits(50)
  const { data, error, isLoading, refetch } = useDiff(from, to, cluster)
  const revisions = (commits?.commits ?? []).map((c) => ({
    value: c.revision,
    label: `${short(c.revision)} ${c.subject ?? ''}`,
  }))
  for (const r of [from, to])
    if (r && !revisions.some((x) => x.value === r)) revisions.push({ value: r, label: short(r) })
  return (
    <>
      <Group mb="sm" align="flex-end">
        <Select
          size="xs"
          label="From"
          data={revisions}
          value={from || null}
          onChange={(v) => onChange({ from: v ?? '' })}
          w={280}
          searchable
          placeholder="the older one"
        />
        <Select
          size="xs"
          label="To"
          data={revisions}
          value={to || null}
          onChange={(v) => onChange({ to: v ?? '' })}
          w={280}
          searchable
          placeholder="the newer one"
        />
        <Select
          size="xs"
          label="For"
          data={[{ value: '', label: 'all clusters' }, ...clusters.map((c) => ({ value: c, label: c }))]}
          value={cluster}
          onChange={(v) => onChange({ cluster: v ?? '' })}
          w={180}
          searchable
          allowDeselect={false}
        />
      </Group>
      {!from || !to ? (
        <Empty title="Choose two revisions">Or follow “what changed” of a commit.</Empty>
      ) : error ? (
        <Failure what="The difference could not be told" error={error} retry={() => void refetch()} />
      ) : isLoading || !data ? (
        <Loading what="comparing the revisions" />
      ) : !data.changes?.length ? (
        <Empty title="No difference for the clusters">
          The files may differ in comments or in order; what is delivered is the same.
        </Empty>
      ) : (
        data.changes.map((c) => <ChangePart key={c.op + c.kind + c.tier + c.title} change={c} />)
      )}
    </>
  )
}

const words = { '+': 'added', '-': 'removed', '~': 'changed' }
const colors = { '+': 'teal', '-': 'red', '~': 'orange' }

function ChangePart({ change: c }: { change: Change }) {
  const places = c.places ?? []
  return (
    <Paper withBorder p="sm" mb="xs">
      <Group justify="space-between" gap="xs">
        <Text size="sm">
          <Text span fw={700} c={colors[c.op]} aria-hidden="true">
            {c.op}{' '}
          </Text>
          <b>{c.title}</b> {words[c.op]}
        </Text>
        <Text size="xs" c="dimmed" title={places.join(', ')}>
          {[c.kind, c.tier].filter(Boolean).join(' · ')}
          {places.length > 0 && ` · ${placesText(c)}`}
        </Text>
      </Group>
      {(c.details ?? []).length > 0 && (
        <Box
          component="pre"
          fz="xs"
          m={0}
          mt={4}
          style={{ overflow: 'auto', whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}
        >
          {(c.details ?? []).join('\n')}
        </Box>
      )}
      {c.series && (
        <Anchor component={Link} to={`/query?g0.expr=${encodeURIComponent(c.series)}&g0.tab=table`} size="xs">
          how many series it concerns
        </Anchor>
      )}
    </Paper>
  )
}
