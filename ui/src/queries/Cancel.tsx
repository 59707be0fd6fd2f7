import { Button, Code, Group, Modal, Text } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { cancelQuery, type QueryRow } from '../api/queries.ts'
import { duration } from '../format/numbers.ts'
import { Failure } from '../parts/Failure.tsx'

/** Asks whether a running query is to be canceled, and does it. */
export function Cancel({ q, close }: { q: QueryRow; close: () => void }) {
  const queries = useQueryClient()
  const cancel = useMutation({
    mutationFn: () => cancelQuery(q.id),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ['queries'] })
      close()
    },
  })
  return (
    <Modal opened onClose={close} title="Cancel this query?" closeButtonProps={{ 'aria-label': 'Close' }}>
      <Code block style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere', maxHeight: 240 }}>
        {q.query}
      </Code>
      <Text size="sm" my="sm">
        It was begun by {q.client || 'nobody known'} and runs for {duration(q.duration)}. It ends in this tier and in
        all below; its client is told that it was canceled.
      </Text>
      {cancel.error && <Failure what="It was not canceled" error={cancel.error} />}
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Let it run
        </Button>
        <Button color="red" loading={cancel.isPending} onClick={() => cancel.mutate()}>
          Cancel the query
        </Button>
      </Group>
    </Modal>
  )
}
