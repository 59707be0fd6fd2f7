import { Button, Group, Modal, Select, Text, TextInput } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { ask } from '../api/client.ts'
import { useSettings } from '../app/settings.tsx'
import { zoneName } from '../format/times.ts'
import { Failure } from '../parts/Failure.tsx'
import { readSince } from './since.ts'

/** Has the points of a rule be made of what leaves hold already. */
export function Backfill({ rules }: { rules: string[] }) {
  const [opened, { open, close }] = useDisclosure(false)
  const [rule, setRule] = useState<string | null>(rules[0] ?? null)
  const [since, setSince] = useState('1d')
  const { zone } = useSettings()
  const client = useQueryClient()
  const run = useMutation({
    mutationFn: () => {
      const from = readSince(since, zone, Date.now())
      return ask('/pando/api/v1/rollups/backfill', { rule: rule ?? '', since: from }, { method: 'POST' })
    },
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['rollups'] })
      close()
    },
  })
  const wrong =
    readSince(since, zone, Date.now()) === undefined ? 'such as 7d, 2026-11-22 or 03:12; not in the future' : undefined
  return (
    <>
      <Button size="xs" variant="default" onClick={open}>
        Back-fill …
      </Button>
      <Modal opened={opened} onClose={close} title="Back-fill a rule" closeButtonProps={{ 'aria-label': 'Close' }}>
        <Text size="sm" mb="sm">
          Points are owed from then on, and made of what the leaves hold, at a bounded rate and behind the fresh ones.
          Coverage shows how far it is.
        </Text>
        <Select label="Rule" data={rules} value={rule} onChange={setRule} allowDeselect={false} searchable />
        <TextInput
          label="Since"
          description={`how long ago, or a time (${zoneName(zone)})`}
          value={since}
          error={wrong}
          onChange={(e) => setSince(e.currentTarget.value)}
          mt="xs"
        />
        {run.error && <Failure what="The back-fill was refused" error={run.error} />}
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button onClick={() => run.mutate()} loading={run.isPending} disabled={!rule || wrong !== undefined}>
            Back-fill
          </Button>
        </Group>
      </Modal>
    </>
  )
}
