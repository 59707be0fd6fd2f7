import { Alert, Button, Group, Text } from '@mantine/core'
import { IconClockExclamation } from '@tabler/icons-react'
import { useNow } from '../app/useNow.ts'
import { promDuration } from '../format/times.ts'
import { advice } from './Failure.tsx'

interface Props {
  /** What could not be read, such as "The rules". */
  what: string
  error: unknown
  /** When what is shown came, in milliseconds since the epoch. */
  at: number
  retry: () => void
}

/** That what is shown below is what was told last, how old it is, and why nothing newer came. */
export function Stale({ what, error, at, retry }: Props) {
  const now = useNow(1000)
  const old = promDuration(Math.max(0, Math.round((now - at) / 1000)))
  return (
    <Alert
      color="orange"
      icon={<IconClockExclamation size={18} />}
      title={`${what} could not be read again: this is as it was ${old} ago`}
      role="alert"
      my="xs"
    >
      <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
        {error instanceof Error ? error.message : String(error)}
      </Text>
      <Group justify="space-between" mt={4}>
        <Text size="sm" c="dimmed">
          {advice(error)}
        </Text>
        <Button size="compact-sm" variant="default" onClick={retry}>
          Try again
        </Button>
      </Group>
    </Alert>
  )
}
