import { Button, Group, SegmentedControl, Textarea, TextInput } from '@mantine/core'
import { IconListDetails, IconStethoscope } from '@tabler/icons-react'
import { useEffect, useState, type FormEvent, type KeyboardEvent } from 'react'
import { useSettings } from '../app/settings.tsx'
import { zoneName } from '../format/times.ts'
import { OptionsMenu } from '../parts/OptionsMenu.tsx'
import { check, questionOf, type WhyState } from './params.ts'

/** What to explain, and of when. */
export function Form({ state, submit }: { state: WhyState; submit: (s: WhyState) => void }) {
  const { zone } = useSettings()
  const [draft, setDraft] = useState(state)
  const [refused, setRefused] = useState<{ field: string; error: string }>()
  // The address is what holds, and a link or going back may change it. What is being written stays while only the tab
  // or the leaf does.
  const asked = questionOf(state)
  useEffect(() => {
    setDraft(state)
    setRefused(undefined)
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [asked])
  const set = (part: Partial<WhyState>) => {
    setRefused(undefined)
    setDraft({ ...draft, ...part })
  }
  const send = (analyze: boolean) => {
    const next = { ...draft, tab: state.tab, not: state.not, expr: draft.expr.trim(), id: '', analyze }
    const c = check(next, zone, Date.now())
    if (!c.ok) return setRefused(c)
    submit(next)
  }
  const onKey = (e: KeyboardEvent) => {
    if (e.key !== 'Enter' || e.shiftKey) return
    e.preventDefault()
    send(e.ctrlKey || e.metaKey)
  }
  const onSubmit = (e: FormEvent) => {
    e.preventDefault()
    send(false)
  }
  const errorOf = (field: string) => (refused?.field === field ? refused.error : undefined)
  const field = (name: 'time' | 'start' | 'end' | 'step', label: string, placeholder: string) => (
    <TextInput
      label={label}
      placeholder={placeholder}
      size="xs"
      w={name === 'step' ? 110 : 200}
      value={draft[name]}
      onChange={(e) => set({ [name]: e.currentTarget.value })}
      error={errorOf(name)}
    />
  )
  return (
    <form onSubmit={onSubmit} aria-label="What to explain">
      <Textarea
        label="Expression"
        description="Enter explains the plan; Ctrl+Enter evaluates it too; Shift+Enter is a new line"
        autosize
        minRows={1}
        maxRows={12}
        spellCheck={false}
        value={draft.expr}
        onChange={(e) => set({ expr: e.currentTarget.value })}
        onKeyDown={onKey}
        error={errorOf('expr')}
        styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
      />
      <Group gap="sm" mt="xs" mb="md" align="flex-end">
        <SegmentedControl
          size="xs"
          aria-label="Instant or range"
          data={[
            { value: 'instant', label: 'Instant' },
            { value: 'range', label: 'Range' },
          ]}
          value={draft.range ? 'range' : 'instant'}
          onChange={(v) => set(v === 'range' ? { range: true, start: draft.start || '-1h' } : { range: false })}
        />
        {draft.range ? (
          <>
            {field('start', `From (${zoneName(zone)})`, '-1h')}
            {field('end', 'To', 'now')}
            {field('step', 'Step', 'by length')}
          </>
        ) : (
          field('time', `At (${zoneName(zone)})`, 'now')
        )}
        <OptionsMenu options={draft.options} onChange={(options) => set({ options })} />
        <Button type="submit" size="xs" variant="default" leftSection={<IconListDetails size={16} />}>
          Explain
        </Button>
        <Button size="xs" onClick={() => send(true)} leftSection={<IconStethoscope size={16} />}>
          Analyze
        </Button>
      </Group>
    </form>
  )
}
