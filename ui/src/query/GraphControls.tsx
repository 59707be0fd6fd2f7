import { ActionIcon, Checkbox, Group, SegmentedControl, Select, TextInput, Tooltip } from '@mantine/core'
import { IconChevronLeft, IconChevronRight, IconMinus, IconPlus, IconX } from '@tabler/icons-react'
import { useEffect, useState } from 'react'
import { useSettings } from '../app/settings.tsx'
import { readMoment } from '../format/moments.ts'
import { dateTime, parseDuration, promDuration, zoneName, type Zone } from '../format/times.ts'
import { nextRange, stepOf, stepsOf } from './steps.ts'
import { parseTime, type Display, type PanelState } from './urlstate.ts'

interface Props {
  panel: PanelState
  onChange: (change: Partial<PanelState>) => void
}

/** The time of a table, or the end of a graph, with steps back and on. */
export function TimeControl({ panel, onChange }: Props) {
  const { zone } = useSettings()
  const move = (way: 1 | -1) => onChange({ end: (panel.end ?? Date.now()) + (way * panel.range * 1000) / 2 })
  const what = panel.tab === 'graph' ? 'End time' : 'Evaluation time'
  return (
    <Group gap={2} wrap="nowrap">
      <Step label="Earlier" onClick={() => move(-1)} icon={<IconChevronLeft size={16} />} />
      <Committed
        label={`${what} (${zoneName(zone)})`}
        value={panel.end === null ? '' : dateTime(panel.end, zone)}
        placeholder="now"
        width={168}
        parse={(text) => (text.trim() === '' || text.trim() === 'now' ? { end: null } : asEnd(readTime(text, zone)))}
        wrong="A time, such as 2026-11-22 16:05:09, 03:12 or -1h; nothing for now"
        onCommit={onChange}
      />
      <Step label="Later" onClick={() => move(1)} icon={<IconChevronRight size={16} />} />
      {panel.end !== null && (
        <Step label="Back to now" onClick={() => onChange({ end: null })} icon={<IconX size={16} />} />
      )}
    </Group>
  )
}

const asEnd = (end: number | null) => (end === null ? undefined : { end })

/** Reads a time that a person typed in the zone that they chose: one of an address, or as other pages take it, such as 03:12 or -1h. */
export function readTime(text: string, zone: Zone, now: number = Date.now()): number | null {
  const utc = parseTime(text)
  // A few digits are no time that anybody means: those of an address are Unix seconds of this century.
  if (utc === null && !/^[\s\d.]*$/.test(text)) {
    const t = readMoment(text, zone, now)
    return t === undefined ? null : Math.round(t * 1000)
  }
  if (utc === null || zone === 'utc' || /(Z|[+-]\d\d:\d\d|^\s*\d{9,}(\.\d+)?)\s*$/.test(text)) return utc
  const d = new Date(utc)
  return new Date(
    d.getUTCFullYear(),
    d.getUTCMonth(),
    d.getUTCDate(),
    d.getUTCHours(),
    d.getUTCMinutes(),
    d.getUTCSeconds(),
  ).getTime()
}

/** What a graph shows: how long, how fine, and how it is drawn. */
export function GraphControls({ panel, onChange }: Props) {
  const { resolution: r, range } = panel
  const step = stepOf(r, range)
  return (
    <Group gap="sm">
      <Group gap={2} wrap="nowrap">
        <Step
          label="Shorter range"
          onClick={() => onChange({ range: nextRange(range, -1) })}
          icon={<IconMinus size={16} />}
        />
        <Committed
          label="Range"
          value={promDuration(range)}
          width={84}
          parse={(text) => {
            const s = parseDuration(text)
            return s ? { range: s } : undefined
          }}
          wrong="A duration, such as 1h or 90m"
          onCommit={onChange}
        />
        <Step
          label="Longer range"
          onClick={() => onChange({ range: nextRange(range, 1) })}
          icon={<IconPlus size={16} />}
        />
      </Group>
      <TimeControl panel={panel} onChange={onChange} />
      <Group gap={4} wrap="nowrap">
        <Select
          aria-label="Resolution"
          size="xs"
          w={130}
          allowDeselect={false}
          data={[
            { value: 'low', label: 'Coarse steps' },
            { value: 'medium', label: 'Medium steps' },
            { value: 'high', label: 'Fine steps' },
            { value: 'custom', label: 'Own step' },
          ]}
          value={r.type === 'auto' ? r.density : 'custom'}
          onChange={(v) => {
            if (v === 'low' || v === 'medium' || v === 'high') onChange({ resolution: { type: 'auto', density: v } })
            else onChange({ resolution: { type: 'custom', step } })
          }}
        />
        <Committed
          label="Step"
          value={promDuration(step)}
          width={84}
          parse={(text) => {
            const s = parseDuration(text)
            return s ? { resolution: { type: 'custom', step: s } } : undefined
          }}
          wrong="A duration, such as 15s"
          onCommit={onChange}
          title={`${stepsOf(range, step)} steps`}
        />
      </Group>
      <SegmentedControl
        size="xs"
        aria-label="How it is drawn"
        value={panel.display}
        onChange={(v) => onChange({ display: v as Display })}
        data={[
          { value: 'lines', label: 'Lines' },
          { value: 'stacked', label: 'Stacked' },
          { value: 'heatmap', label: 'Heatmap' },
        ]}
      />
      <Checkbox
        size="xs"
        label="Exemplars"
        checked={panel.exemplars}
        onChange={(e) => onChange({ exemplars: e.currentTarget.checked })}
      />
      <Checkbox
        size="xs"
        label="Log scale"
        checked={panel.log}
        disabled={panel.display !== 'lines'}
        onChange={(e) => onChange({ log: e.currentTarget.checked })}
      />
    </Group>
  )
}

function Step({ label, onClick, icon }: { label: string; onClick: () => void; icon: React.ReactNode }) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="default" size={30} aria-label={label} onClick={onClick}>
        {icon}
      </ActionIcon>
    </Tooltip>
  )
}

interface CommittedProps {
  label: string
  value: string
  width: number
  placeholder?: string
  title?: string
  /** What the text changes; undefined if it cannot be read. */
  parse: (text: string) => Partial<PanelState> | undefined
  wrong: string
  onCommit: (change: Partial<PanelState>) => void
}

/** A field that takes effect on Enter, or when it is left. */
function Committed({ label, value, width, placeholder, title, parse, wrong, onCommit }: CommittedProps) {
  const [text, setText] = useState(value)
  const [bad, setBad] = useState(false)
  useEffect(() => {
    setText(value)
    setBad(false)
  }, [value])
  const commit = () => {
    if (text === value) return setBad(false)
    const change = parse(text)
    setBad(!change)
    if (change) onCommit(change)
  }
  return (
    <Tooltip label={bad ? wrong : (title ?? label)} opened={bad || undefined}>
      <TextInput
        aria-label={label}
        size="xs"
        w={width}
        value={text}
        error={bad}
        {...(placeholder !== undefined && { placeholder })}
        onChange={(e) => setText(e.currentTarget.value)}
        onBlur={commit}
        onKeyDown={(e) => {
          if (e.key === 'Enter') commit()
          if (e.key !== 'Escape') return
          setText(value)
          setBad(false)
        }}
      />
    </Tooltip>
  )
}
