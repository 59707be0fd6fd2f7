import { Group, Text, UnstyledButton } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef, type MouseEvent } from 'react'
import { whole } from '../format/numbers.ts'
import { Labels } from '../parts/Labels.tsx'
import type { Line } from './LineChart.tsx'
import { strokeOf, type Scheme } from './palette.ts'
import classes from './Query.module.css'

interface Props {
  lines: Line[]
  hidden: ReadonlySet<number>
  onChange: (hidden: ReadonlySet<number>) => void
  scheme: Scheme
}

/** The lines of a graph: a press shows one alone, or all again; with Control, Command or Shift it hides or shows one beside the others. */
export function Legend({ lines, hidden, onChange, scheme }: Props) {
  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 22,
    overscan: 8,
  })
  const press = (index: number) => (e: MouseEvent) => {
    if (e.ctrlKey || e.metaKey || e.shiftKey) {
      const next = new Set(hidden)
      if (!next.delete(index)) next.add(index)
      onChange(next)
      return
    }
    const alone = !hidden.has(index) && hidden.size === lines.length - 1
    onChange(new Set(alone ? [] : lines.map((l) => l.index).filter((i) => i !== index)))
  }
  return (
    <>
      <Group justify="space-between" mt={4}>
        <Text size="xs" c="dimmed">
          {whole(lines.length)} lines{hidden.size > 0 && `, ${whole(hidden.size)} hidden`}. Press one to see it alone;
          with Control, to hide it.
        </Text>
        {hidden.size > 0 && (
          <UnstyledButton fz="xs" td="underline" onClick={() => onChange(new Set())}>
            show all
          </UnstyledButton>
        )}
      </Group>
      <div ref={scroller} className={classes.legend} role="group" aria-label="Lines">
        <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
          {virtual.getVirtualItems().map((v) => {
            const l = lines[v.index]
            if (!l) return null
            const { color, dash } = strokeOf(l.index, scheme)
            return (
              <div
                key={v.key}
                ref={virtual.measureElement}
                data-index={v.index}
                style={{ position: 'absolute', left: 0, right: 0, transform: `translateY(${v.start}px)` }}
              >
                <button
                  type="button"
                  className={classes.legendRow}
                  aria-pressed={!hidden.has(l.index)}
                  onClick={press(l.index)}
                >
                  <svg width="22" height="8" aria-hidden="true">
                    <line
                      x1="0"
                      x2="22"
                      y1="4"
                      y2="4"
                      stroke={color}
                      strokeWidth="3"
                      strokeDasharray={dash.join(' ')}
                    />
                  </svg>
                  <span>
                    <Labels labels={l.metric} />
                  </span>
                </button>
              </div>
            )
          })}
        </div>
      </div>
    </>
  )
}
