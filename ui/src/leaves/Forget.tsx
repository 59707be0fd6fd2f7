import { Button, Group, Modal, Text } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { askText } from '../api/client.ts'
import type { TreeNode } from '../api/tree.ts'
import { Failure } from '../parts/Failure.tsx'

/**
 * Gives up a missing member for good, after saying what that means. Only the tier that a member was connected to can
 * forget it; above names that tier if it is not the one that serves the console.
 */
export function Forget({ node, above, onDone }: { node: TreeNode; above?: string | undefined; onDone?: () => void }) {
  const [asking, setAsking] = useState(false)
  const queries = useQueryClient()
  const forget = useMutation({
    mutationFn: () => askText(`/pando/api/v1/tree/${encodeURIComponent(node.name)}`, {}, { method: 'DELETE' }),
    onSuccess: () => {
      setAsking(false)
      void queries.invalidateQueries({ queryKey: ['tree'] })
      onDone?.()
    },
  })
  if (node.state !== 'missing') return null
  if (above)
    return (
      <Text size="sm" c="dimmed">
        To give it up for good, use the console of {above}: it is a child of that tier.
      </Text>
    )
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setAsking(true)}>
        Forget …
      </Button>
      <Modal
        opened={asking}
        onClose={() => setAsking(false)}
        title={`Forget ${node.name}?`}
        closeButtonProps={{ 'aria-label': 'Close' }}
      >
        <Text size="sm">
          Answers no longer tell that its part is missing, and it is no longer counted: queries count as whole without
          it. Its data is not touched. If it connects again, it is a member again.
        </Text>
        <Text size="sm" mt="xs">
          Do this if it is gone for good. If it is away for a time only, leave it: that is how queries say what they
          lack.
        </Text>
        {forget.error !== null && <Failure what={`${node.name} was not forgotten`} error={forget.error} />}
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={() => setAsking(false)}>
            Keep it
          </Button>
          <Button color="red" loading={forget.isPending} onClick={() => forget.mutate()}>
            Forget it
          </Button>
        </Group>
      </Modal>
    </>
  )
}
