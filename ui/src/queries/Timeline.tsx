import { Text } from '@mantine/core'
import { useElementSize } from '@mantine/hooks'
import { useMemo, useState, type KeyboardEvent, type PointerEvent } from 'react'
import type { QueryRow } from '../api/queries.ts'
import { useSettings } from '../app/settings.tsx'
import { bytes, duration } from '../format/numbers.ts'
import { clock, zoneName } from '../format/times.ts'
import { dotAt, layout, neighbour, timeAt, type Box, type Dot } from './timeline.ts'
import classes from './Timeline.module.css'

interface Props {
  rows: QueryRow[]
  from: number | undefined
  to: number | undefined
  /** The time up to which the rows are known, ms. */
  now: number
  selected: string
  select: (id: string) => void
  /** A span of time was drawn over, ms. */
  narrow: (from: number, to: number) => void
}

const height = 170

/** Past and running queries over time: how long they took, sized by the bytes that they moved. */
export function Timeline({ rows, from, to, now, selected, select, narrow }: Props) {
  const { ref, width } = useElementSize<HTMLDivElement>()
  const { zone } = useSettings()
  const box: Box = useMemo(() => ({ width: width || 600, height, left: 48, right: 14, top: 16, bottom: 22 }), [width])
  const l = useMemo(() => layout(rows, box, from, to, now, zone), [rows, box, from, to, now, zone])
  const [drag, setDrag] = useState<{ begin: number; end: number }>()
  const place = (e: PointerEvent<SVGSVGElement>) => {
    const r = e.currentTarget.getBoundingClientRect()
    return { x: e.clientX - r.left, y: e.clientY - r.top }
  }
  const down = (e: PointerEvent<SVGSVGElement>) => {
    if (e.button !== 0) return
    const { x } = place(e)
    setDrag({ begin: x, end: x })
  }
  const move = (e: PointerEvent<SVGSVGElement>) => {
    if (drag) setDrag({ ...drag, end: place(e).x })
  }
  const up = (e: PointerEvent<SVGSVGElement>) => {
    if (!drag) return
    setDrag(undefined)
    const { x, y } = place(e)
    if (Math.abs(x - drag.begin) > 6) {
      const [a, b] = [timeAt(Math.min(x, drag.begin), l, box), timeAt(Math.max(x, drag.begin), l, box)]
      return narrow(Math.round(a), Math.round(b))
    }
    select(dotAt(x, y, l.dots, 8)?.row.id ?? '')
  }
  const onKey = (e: KeyboardEvent) => {
    const by = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0
    if (e.key === 'Escape') select('')
    if (by === 0) return
    e.preventDefault()
    const next = neighbour(l.dots, selected, by)
    if (next) select(next.id)
  }
  const chosen = l.dots.find((d) => d.row.id === selected)
  return (
    <div ref={ref}>
      <svg
        className={classes.chart}
        viewBox={`0 0 ${box.width} ${height}`}
        height={height}
        tabIndex={0}
        role="application"
        aria-label={`${rows.length} queries over time; the arrow keys go from one to the next, the table below has them all`}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerLeave={() => setDrag(undefined)}
        onKeyDown={onKey}
      >
        {l.durations.map((t) => (
          <g key={t.label}>
            <line className={classes.grid} x1={box.left} x2={box.width - box.right} y1={t.at} y2={t.at} />
            <text className={classes.axis} x={box.left - 6} y={t.at + 4} textAnchor="end">
              {t.label}
            </text>
          </g>
        ))}
        {l.times.map((t) => (
          <g key={t.at}>
            <line className={classes.grid} x1={t.at} x2={t.at} y1={box.top} y2={height - box.bottom} />
            <text className={classes.axis} x={t.at} y={height - 7} textAnchor={anchor(t.at, box)}>
              {t.label}
            </text>
          </g>
        ))}
        {l.dots.map((d) => (
          <Shape key={d.row.id + d.row.begun} d={d} />
        ))}
        {chosen && <circle className={classes.selected} cx={chosen.x} cy={chosen.y} r={chosen.r + 4} />}
        {drag && Math.abs(drag.end - drag.begin) > 6 && (
          <rect
            className={classes.brush}
            x={Math.min(drag.begin, drag.end)}
            width={Math.abs(drag.end - drag.begin)}
            y={0}
            height={height - box.bottom}
          />
        )}
      </svg>
      <Text size="xs" c="dimmed" mt={2} mb="sm">
        Height: how long it took; area: bytes moved; ● finished, ■ failed, ▽ canceled, ◌ running. Drag to narrow the
        time, click to select. {clock(l.from, zone)} to {clock(l.to, zone)} {zoneName(zone)}
      </Text>
    </div>
  )
}

// Labels at the borders stay inside.
function anchor(at: number, box: Box): 'start' | 'middle' | 'end' {
  if (at < box.left + 24) return 'start'
  return at > box.width - 28 ? 'end' : 'middle'
}

function Shape({ d }: { d: Dot }) {
  const { row, x, y, r } = d
  const look = `${classes.dot} ${classes[row.state]}`
  const tip = (
    <title>{`${row.query}\n${duration(row.duration)}, ${bytes(row.bytes)}, ${row.state}${row.error ? ': ' + row.error : ''}`}</title>
  )
  if (row.state === 'failed') {
    return (
      <rect className={look} x={x - r} y={y - r} width={2 * r} height={2 * r}>
        {tip}
      </rect>
    )
  }
  if (row.state === 'canceled') {
    return (
      <path className={look} d={`M${x - r} ${y - r * 0.8}h${2 * r}L${x} ${y + r}z`}>
        {tip}
      </path>
    )
  }
  return (
    <circle className={look} cx={x} cy={y} r={r}>
      {tip}
    </circle>
  )
}
