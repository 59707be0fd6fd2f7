import { Button, Group, NativeSelect, Text, TextInput } from '@mantine/core'
import { useState, type FormEvent } from 'react'
import { useSettings } from '../app/settings.tsx'
import { readMoment } from '../format/moments.ts'
import { parseDuration, zoneName } from '../format/times.ts'
import { When } from '../parts/When.tsx'
import { around, states, type View } from './filter.ts'

interface Props {
  view: View
  change: (v: Partial<View>) => void
}

/** What of the queries is shown. */
export function Filters({ view, change }: Props) {
  const bad = view.slower !== '' && parseDuration(view.slower) === undefined
  return (
    <Group gap="sm" align="flex-start" mb="sm">
      <TextInput
        label="Text"
        size="xs"
        w={220}
        placeholder="expression, client, id, error"
        value={view.text}
        onChange={(e) => change({ text: e.currentTarget.value })}
      />
      <NativeSelect
        label="State"
        size="xs"
        value={view.state}
        onChange={(e) => change({ state: states.find((s) => s === e.currentTarget.value) ?? '' })}
        data={[{ value: '', label: 'any' }, { value: 'active', label: 'running' }, 'finished', 'failed', 'canceled']}
      />
      <TextInput
        label="Slower than"
        size="xs"
        w={100}
        placeholder="500ms"
        value={view.slower}
        onChange={(e) => change({ slower: e.currentTarget.value })}
        error={bad && 'e.g. 500ms, 2s'}
      />
      <NativeSelect
        label="Together"
        size="xs"
        value={view.group}
        onChange={(e) => {
          const v = e.currentTarget.value
          const group = v === 'expression' || v === 'client' ? v : ''
          change({ group, sort: group ? { key: 'total', down: true } : { key: 'begun', down: true } })
        }}
        data={[
          { value: '', label: 'each query' },
          { value: 'expression', label: 'by expression' },
          { value: 'client', label: 'by client' },
        ]}
      />
      <Moment view={view} change={change} />
    </Group>
  )
}

// "What hurt us at 03:12?"
function Moment({ view, change }: Props) {
  const { zone } = useSettings()
  const [at, setAt] = useState('')
  const [within, setWithin] = useState('5m')
  const [error, setError] = useState('')
  const narrowed = view.from !== undefined || view.to !== undefined
  const submit = (e: FormEvent) => {
    e.preventDefault()
    const moment = readMoment(at, zone, Date.now())
    const span = parseDuration(within)
    if (moment === undefined) return setError('write 03:12, 2026-11-22 03:12 or -2h')
    if (!span) return setError('write a span such as 5m')
    setError('')
    change(around(moment, span))
  }
  return (
    <form onSubmit={submit} aria-label="What hurt us at a time?">
      <Group gap={6} align="flex-start">
        <TextInput
          label={`What hurt us at (${zoneName(zone)})`}
          size="xs"
          w={150}
          placeholder="03:12"
          value={at}
          onChange={(e) => setAt(e.currentTarget.value)}
          error={error}
        />
        <TextInput label="± span" size="xs" w={64} value={within} onChange={(e) => setWithin(e.currentTarget.value)} />
        <Button type="submit" size="xs" variant="default" mt={24}>
          Show
        </Button>
        {narrowed && (
          <div>
            <Text size="xs" mt={2}>
              <When t={view.from} /> to {view.to === undefined ? 'now' : <When t={view.to} />}
            </Text>
            <Button size="compact-xs" variant="subtle" onClick={() => change({ from: undefined, to: undefined })}>
              All times
            </Button>
          </div>
        )}
      </Group>
    </form>
  )
}
