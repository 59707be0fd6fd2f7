import { Button, Group, TextInput } from '@mantine/core'
import { useState, type FormEvent } from 'react'
import { useSettings } from '../app/settings.tsx'
import { zoneName } from '../format/times.ts'
import { readTimes } from './times.ts'
import type { Wanted } from './WhoHas.tsx'

/** A selector, and the times that it is about. */
export function WhoHasForm({ wanted, busy, ask }: { wanted: Wanted; busy: boolean; ask: (w: Wanted) => void }) {
  const { zone } = useSettings()
  const [draft, setDraft] = useState(wanted)
  const [wrong, setWrong] = useState<{ field: 'start' | 'end'; error: string }>()
  const set = (part: Partial<Wanted>) => {
    setWrong(undefined)
    setDraft({ ...draft, ...part })
  }
  const submit = (e: FormEvent) => {
    e.preventDefault()
    const w = { selector: draft.selector.trim(), start: draft.start.trim(), end: draft.end.trim() }
    const read = readTimes(w.start, w.end, zone, Date.now())
    if (!read.ok) return setWrong(read)
    ask(w)
  }
  const time = (field: 'start' | 'end', label: string, placeholder: string) => (
    <TextInput
      size="xs"
      w={170}
      label={label}
      placeholder={placeholder}
      value={draft[field]}
      onChange={(e) => set({ [field]: e.currentTarget.value })}
      error={wrong?.field === field ? wrong.error : undefined}
    />
  )
  return (
    <form onSubmit={submit}>
      <Group gap="xs" my="xs" align="flex-start">
        <TextInput
          size="xs"
          label="Selector"
          style={{ flex: '1 1 240px', maxWidth: 640 }}
          styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          placeholder='gpu_utilization_ratio{job=~"node-.*"}'
          value={draft.selector}
          onChange={(e) => set({ selector: e.currentTarget.value })}
        />
        {time('start', `From (${zoneName(zone)})`, 'a moment')}
        {time('end', 'To', 'now')}
        <Button size="xs" mt={21} type="submit" loading={busy} disabled={draft.selector.trim() === ''}>
          Find
        </Button>
      </Group>
    </form>
  )
}
