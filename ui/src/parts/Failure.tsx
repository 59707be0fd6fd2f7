import { Alert, Button, Group, Text } from '@mantine/core'
import { IconAlertTriangle } from '@tabler/icons-react'
import { unreadable } from '../api/below.ts'
import { ApiError } from '../api/client.ts'

/** What a person can do about an error. */
export function advice(e: unknown): string {
  if (!(e instanceof ApiError))
    return 'This is an error of the console itself. Reload the page; if it comes back, report it with this text.'
  if (e.status === 0)
    return 'Check that the process runs and that the network or the proxy between lets you through; the page asks again by itself.'
  // A member's refusal is not this tier's: signing in here changes nothing.
  if (e.type.startsWith('member_')) return unreadable(e) ?? 'Open the member’s own console.'
  if (e.status === 401 || e.status === 403) return 'Sign in as a user who may do this, or ask whoever runs this tier.'
  if (e.status === 404)
    return 'It may have ended, or been dropped to make room; or this tier is of a version that does not have it.'
  if (e.status === 400 || e.status === 422)
    return e.type === 'execution'
      ? 'The query is valid, but could not be evaluated over this data.'
      : 'Change the request as the text says.'
  if (e.status === 503)
    return 'The tier is starting, too busy, or a part of the answer is missing and partial answers are refused. Planet shows who is away.'
  if (e.status === 504)
    return 'It took longer than allowed. Narrow it to a zone or a shorter range, or raise the timeout.'
  return 'The log of this tier says more.'
}

interface Props {
  error: unknown
  what: string
  /** What to do about it, where that does not follow from the error. */
  todo?: string
  retry?: () => void
}

/** An error: what happened, and what to do. */
export function Failure({ error, what, todo, retry }: Props) {
  const text = error instanceof Error ? error.message : String(error)
  return (
    <Alert color="red" icon={<IconAlertTriangle size={18} />} title={what} role="alert" my="xs">
      <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
        {text}
      </Text>
      <Group justify="space-between" mt={4}>
        <Text size="sm" c="dimmed">
          {todo ?? advice(error)}
        </Text>
        {retry && (
          <Button size="compact-sm" variant="default" onClick={retry}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  )
}
