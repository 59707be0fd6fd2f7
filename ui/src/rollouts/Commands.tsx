import { Alert, Button, Group, Modal, MultiSelect, Select, Text, TextInput, Tooltip } from '@mantine/core'
import { useState } from 'react'
import { useCommand, useCommits, type Command, type Rollouts } from '../api/rollouts.ts'
import { Failure } from '../parts/Failure.tsx'
import { short } from '../format/revisions.ts'

/** What can be told the loops; what the caller may not is there, and says why not. */
export function Commands({ rollouts }: { rollouts: Rollouts }) {
  const [chosen, setChosen] = useState<Command>()
  return (
    <>
      {(rollouts.commands ?? []).map((c) => (
        <Tooltip key={c.name} label={c.allowed ? (c.about ?? c.name) : (c.why ?? 'not allowed')} multiline maw={360}>
          <Button
            size="xs"
            variant="default"
            color={c.name === 'abort' ? 'red' : undefined}
            data-disabled={!c.allowed || undefined}
            aria-disabled={!c.allowed}
            onClick={() => c.allowed && setChosen(c)}
          >
            {c.name} …
          </Button>
        </Tooltip>
      ))}
      {chosen && <Confirm key={chosen.name} command={chosen} rollouts={rollouts} close={() => setChosen(undefined)} />}
    </>
  )
}

function Confirm({ command: c, rollouts, close }: { command: Command; rollouts: Rollouts; close: () => void }) {
  const all = (rollouts.waves ?? []).flatMap((w) => w.clusters ?? []).map((x) => x.cluster)
  const { data } = useCommits(50)
  const revisions = (data?.commits ?? []).map((x) => ({
    value: x.revision,
    label: `${short(x.revision)} ${x.subject ?? ''}`,
  }))
  const [revision, setRevision] = useState<string | null>(
    c.revision === 'none' || c.name === 'rollback' ? null : (rollouts.target ?? null),
  )
  const [clusters, setClusters] = useState<string[]>([])
  const [why, setWhy] = useState('')
  const run = useCommand()
  const needed = c.revision === 'needed' && !revision
  return (
    <Modal
      opened
      onClose={close}
      title={`${c.name}: are you sure?`}
      size="lg"
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {c.about && (
        <Text size="sm" mb="sm">
          {c.about}
        </Text>
      )}
      {c.revision !== 'none' && (
        <Select
          label="Revision"
          data={revisions}
          value={revision}
          onChange={setRevision}
          searchable
          clearable={c.revision === 'optional'}
          withAsterisk={c.revision === 'needed'}
          mb="xs"
        />
      )}
      <MultiSelect
        label="Clusters"
        placeholder={clusters.length ? undefined : `all ${all.length}`}
        data={all}
        value={clusters}
        onChange={setClusters}
        searchable
        clearable
        mb="xs"
      />
      <TextInput
        label="Why"
        description="kept in the history, for whoever asks later"
        value={why}
        onChange={(e) => setWhy(e.currentTarget.value)}
      />
      {run.error && <Failure what="The command was refused" error={run.error} />}
      {run.data && (
        <Alert color={run.data.some((x) => x.error) ? 'red' : 'teal'} mt="sm" role="alert">
          {run.data.map((x) => (
            <Text key={x.cluster} size="sm">
              <b>{x.cluster}</b>: {x.error ?? x.done}
            </Text>
          ))}
        </Alert>
      )}
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={close}>
          {run.data ? 'Close' : 'Cancel'}
        </Button>
        {!run.data && (
          <Button
            color={c.name === 'abort' || c.name === 'rollback' ? 'red' : undefined}
            loading={run.isPending}
            disabled={needed}
            onClick={() => run.mutate({ name: c.name, clusters, why, ...(revision && { revision }) })}
          >
            {c.name} {clusters.length ? clusters.join(', ') : `all ${all.length} clusters`}
          </Button>
        )}
      </Group>
    </Modal>
  )
}
