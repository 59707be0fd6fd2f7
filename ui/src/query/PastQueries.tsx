import { Button, Group, Modal, Text, TextInput, UnstyledButton } from '@mantine/core'
import { useMemo, useState } from 'react'
import { When } from '../parts/When.tsx'
import { Empty } from '../parts/Empty.tsx'
import { forget, history } from './history.ts'

interface Props {
  opened: boolean
  onClose: () => void
  onPick: (expr: string) => void
}

/** The expressions that were run in this browser, newest first. */
export function PastQueries({ opened, onClose, onPick }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title="History"
      size="min(800px, 96vw)"
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      {opened && <List onClose={onClose} onPick={onPick} />}
    </Modal>
  )
}

function List({ onClose, onPick }: Omit<Props, 'opened'>) {
  const [list, setList] = useState(history)
  const [search, setSearch] = useState('')
  const shown = useMemo(() => list.filter((p) => p.expr.toLowerCase().includes(search.toLowerCase())), [list, search])
  if (list.length === 0)
    return <Empty title="Nothing yet">Expressions that you run are kept in this browser, and nowhere else.</Empty>
  return (
    <>
      <Group mb="xs" wrap="nowrap">
        <TextInput
          style={{ flex: 1 }}
          data-autofocus
          aria-label="Search the history"
          placeholder="Search"
          value={search}
          onChange={(e) => setSearch(e.currentTarget.value)}
        />
        <Button
          variant="default"
          onClick={() => {
            forget()
            setList([])
          }}
        >
          Forget all
        </Button>
      </Group>
      <div style={{ maxHeight: '60vh', overflow: 'auto' }}>
        {shown.map((p) => (
          <UnstyledButton
            key={p.expr}
            w="100%"
            py={4}
            onClick={() => {
              onPick(p.expr)
              onClose()
            }}
          >
            <Text size="sm" ff="monospace" style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }}>
              {p.expr}
            </Text>
            <Text size="xs" c="dimmed">
              <When t={p.at} />
            </Text>
          </UnstyledButton>
        ))}
        {shown.length === 0 && <Text size="sm">Nothing has that text.</Text>}
      </div>
    </>
  )
}
