import { Button, CloseButton, Code, Group, Paper, Text } from '@mantine/core'
import { Link } from 'react-router'
import { optionWords } from '../api/options.ts'
import { progressText, type QueryRow } from '../api/queries.ts'
import { bytes, count, duration, whole } from '../format/numbers.ts'
import { When } from '../parts/When.tsx'
import { optionsOf, queryAddress } from '../why/params.ts'
import { askedOf } from '../why/told.ts'
import { State } from './columns.tsx'

/** One query, with all that its row tells. */
export function Detail({ q, close, cancel }: { q: QueryRow; close: () => void; cancel: () => void }) {
  const unusual = optionWords(optionsOf(q))
  const facts = [
    `took ${duration(q.duration)}${q.queued > 0.001 ? `, of which ${duration(q.queued)} waiting for a turn` : ''}`,
    ...(q.state === 'active'
      ? [q.progress ? progressText(q.progress) : 'no child was asked yet']
      : [
          `${whole(q.series)} series and ${whole(q.samples)} samples in the answer`,
          `${bytes(q.bytes)} moved`,
          `${count(q.asked)} children asked, ${count(q.pruned)} pruned, ${count(q.failed)} failed`,
          ...(q.fragments ? [`${count(q.fragments)} fragments pushed down`] : []),
          ...(q.replans ? [`${count(q.replans)} plans given up`] : []),
        ]),
  ]
  return (
    <Paper withBorder p="sm" mb="sm" component="section" aria-label="The selected query">
      <Group justify="space-between" wrap="nowrap" align="flex-start" gap="xs">
        <Group gap="sm">
          <State q={q} />
          <Text size="sm">
            {q.kind} by {q.client || 'nobody known'}, begun <When t={q.begun} />
          </Text>
        </Group>
        <CloseButton size="sm" aria-label="Close the selected query" onClick={close} />
      </Group>
      <Code block my={6} style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere', maxHeight: 200 }}>
        {q.query}
      </Code>
      <Text size="sm">{facts.join('; ')}.</Text>
      <Text size="sm" c="dimmed">
        {q.step > 0 ? (
          <>
            Of <When t={q.start} /> to <When t={q.end} /> every {duration(q.step)}.{' '}
          </>
        ) : (
          q.end && (
            <>
              Of <When t={q.end} />.{' '}
            </>
          )
        )}
        Id {q.id}.{unusual.length > 0 && ` Asked ${unusual.join(', ')}.`}
      </Text>
      {q.error && (
        <Text size="sm" mt={4} style={{ overflowWrap: 'anywhere' }}>
          {q.code ? `HTTP ${q.code}: ` : ''}
          {q.error}
        </Text>
      )}
      <Group gap="xs" mt="xs">
        <Button component={Link} to={'/why?id=' + encodeURIComponent(q.id)} size="compact-sm">
          Why
        </Button>
        <Button component={Link} to={queryAddress(askedOf(q))} size="compact-sm" variant="default">
          Open in Query
        </Button>
        {q.state === 'active' && (
          <Button size="compact-sm" color="red" variant="light" onClick={cancel}>
            Cancel
          </Button>
        )}
        {q.explained && (
          <Text size="xs" c="dimmed">
            its explanation is kept
          </Text>
        )}
      </Group>
    </Paper>
  )
}
