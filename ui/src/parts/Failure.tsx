import { Alert, Button, Group, Text } from '@mantine/core'
import { IconAlertTriangle } from '@tabler/icons-react'
import { unreadable } from '../api/below.ts'
import { ApiError } from '../api/client.ts'

/** What a person can do about an error. */
export function advice(e: unknown): string {
  if (!(e instanceof ApiError))
    return 'This is an error of the console itself. Reload the page; if it comes back, report it with this text.'
  // A member's refusal is not this tier's: signing in here changes nothing.
  if (e.type.startsWith('member_')) return unreadable(e) ?? 'Open the member’s own console.'
  return byType[e.type] ?? byStatus[e.status] ?? 'Look into the log of this tier, which says more, or try again.'
}

const narrower = 'Narrow it to a zone, a cluster or a shorter range'

// What an error's type tells more exactly than its status.
const byType: Record<string, string> = {
  silent: 'Try again; if it stays silent, look at the load and the log of the process, and at the proxy between.',
  canceled:
    'Somebody canceled it, here or on the Queries page, or its client went away. Ask again if it is still wanted.',
  timeout: `It took longer than allowed. ${narrower}, or raise the timeout.`,
  execution: `The query can be read, but not be evaluated over this data. Change it as the text says; if it is a limit that it names: ${narrower.toLowerCase()}.`,
}

const byStatus: Record<number, string> = {
  0: 'Check that the process runs and that the network or the proxy between lets you through, and try again.',
  400: 'Change the request as the text says.',
  401: 'Sign in as a user who may do this, or ask whoever runs this tier.',
  403: 'Sign in as a user who may do this, or ask whoever runs this tier.',
  404: 'It may have ended, or been dropped to make room; or this tier is of a version that does not have it.',
  409: 'It has changed in the meantime. Reload the page, and look before trying again.',
  413: 'It is larger than the tier takes. Shorten the expression, or ask for its parts one by one.',
  422: 'Change the request as the text says.',
  429: 'There are too many requests. Wait a moment, and try again.',
  502: 'A proxy before this tier does not reach it. Check that the process runs, and what the proxy’s log says.',
  503: 'The tier is starting, too busy, or a part of the answer is missing and partial answers are refused. Try again; Planet shows who is away.',
  504: `It took longer than allowed. ${narrower}, or raise the timeout.`,
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
