import { useEffect, useRef, useState, type KeyboardEvent } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { labelsText } from '../parts/Labels.tsx'
import { When } from '../parts/When.tsx'
import { stacked } from './aligned.ts'
import { neighbour, type Exemplar } from './exemplars.ts'
import { strokeOf } from './palette.ts'
import { base, lonely, type Frame } from './plot.ts'
import classes from './Query.module.css'
import type { LabelSet } from './results.ts'
import { Tip } from './Tip.tsx'
import { withUnit, type Unit } from './unittext.ts'

export interface Line {
  metric: LabelSet
  /** Its place in the answer, from which its colour follows. */
  index: number
  values: (number | null)[]
}

interface Props extends Frame {
  times: number[]
  lines: Line[]
  hidden: ReadonlySet<number>
  stack: boolean
  log: boolean
  unit: Unit
  exemplars: Exemplar[]
  /** What the chart shows, for those who do not see it. */
  label: string
}

interface Hover {
  left: number
  top: number
  line?: { at: number; line: Line }
  exemplar?: Exemplar
}

/** Series as lines, or stacked upon each other; gaps are gaps. */
export function LineChart(p: Props) {
  const parent = useRef<HTMLDivElement>(null)
  const [hover, setHover] = useState<Hover | undefined>()
  // An exemplar that stays, so that what it says can be copied.
  const [pinned, setPinned] = useState<Exemplar | undefined>()
  const plot = useRef<uPlot>(undefined)
  const hovered = useRef<Hover>(undefined)
  hovered.current = hover
  const latest = useRef(p)
  latest.current = p
  const { times, lines, hidden, stack, log, unit, exemplars, width, height, scheme, zone } = p
  useEffect(() => {
    if (!parent.current || width < 50) return
    const drawn = drawnValues(lines, hidden, stack, log)
    const frame = { width, height, scheme, zone, onZoom: (a: number, b: number) => latest.current.onZoom(a, b) }
    const o = base(frame, times[0] ?? 0, times.at(-1) ?? 1)
    const options: uPlot.Options = {
      ...o,
      scales: {
        ...o.scales,
        y: log
          ? { distr: 3, log: 10 }
          : { range: { min: { pad: 0.08, soft: 0, mode: 3 }, max: { pad: 0.08, soft: 0, mode: 3 } } },
      },
      axes: [
        o.axes?.[0] ?? {},
        {
          ...o.axes?.[1],
          values: (_u, splits) =>
            distinct(
              splits.map((v) => (v === null ? '' : withUnit(v, unit))),
              splits,
            ),
        },
      ],
      series: [
        {},
        ...lines.map((l): uPlot.Series => {
          const { color, dash } = strokeOf(l.index, scheme)
          return {
            stroke: color,
            width: 1.6,
            dash,
            show: !hidden.has(l.index),
            spanGaps: false,
            points: { filter: lonely, size: 5, fill: color },
            ...(stack && { fill: color + '59' }),
          }
        }),
      ],
      ...(stack && { bands: bandsOf(lines, hidden) }),
      hooks: {
        ...o.hooks,
        draw: [(u) => drawExemplars(u, exemplars, scheme === 'dark' ? '#ffffff' : '#000000')],
        setCursor: [(u) => setHover(hoverOf(u, lines, drawn, hidden, exemplars))],
      },
    }
    const u = new uPlot(options, [times, ...drawn] as uPlot.AlignedData, parent.current)
    const leave = () => setHover(undefined)
    const pin = () => setPinned(hovered.current?.exemplar)
    u.over.addEventListener('mouseleave', leave)
    u.over.addEventListener('click', pin)
    plot.current = u
    return () => {
      setHover(undefined)
      setPinned(undefined)
      plot.current = undefined
      u.destroy()
    }
  }, [times, lines, hidden, stack, log, unit, exemplars, width, height, scheme, zone])

  const onKey = (e: KeyboardEvent) => {
    if (e.key === 'Escape') return setPinned(undefined)
    if (e.key !== 'ArrowRight' && e.key !== 'ArrowLeft') return
    e.preventDefault()
    setPinned(neighbour(exemplars, pinned, e.key === 'ArrowRight' ? 1 : -1))
  }
  const pin = pinned && plot.current && placeOf(plot.current, pinned)
  return (
    <div
      className={classes.chart}
      style={{ height }}
      onKeyDown={onKey}
      {...(exemplars.length > 0 && {
        tabIndex: 0,
        role: 'group',
        'aria-label': `${exemplars.length} exemplars: left and right go through them, Escape closes`,
      })}
    >
      <div ref={parent} role="img" aria-label={p.label} />
      {hover && !pin && (
        <Tip left={hover.left} top={hover.top} width={width}>
          {hover.exemplar ? <ExemplarTip e={hover.exemplar} /> : hover.line && <LineTip {...hover.line} p={p} />}
        </Tip>
      )}
      {pin && (
        <Tip left={pin.left} top={pin.top} width={width} onClose={() => setPinned(undefined)}>
          <ExemplarTip e={pinned} />
        </Tip>
      )}
    </div>
  )
}

function LineTip({ at, line, p }: { at: number; line: Line; p: Props }) {
  const v = line.values[at]
  const { __name__: name, ...labels } = line.metric
  return (
    <>
      <div>
        <When t={(p.times[at] ?? 0) * 1000} />
      </div>
      <div>
        <span style={{ color: strokeOf(line.index, p.scheme).color }} aria-hidden="true">
          ■{' '}
        </span>
        {name} <b>{v === null || v === undefined ? 'no sample' : withUnit(v, p.unit)}</b>
        {v !== null && v !== undefined && withUnit(v, p.unit) !== String(v) && (
          <span className={classes.dim}> {v}</span>
        )}
      </div>
      <LabelLines labels={labels} />
    </>
  )
}

function ExemplarTip({ e }: { e: Exemplar }) {
  return (
    <>
      <div>
        ◆ exemplar <b>{e.value}</b> <When t={e.time * 1000} />
      </div>
      <LabelLines labels={e.labels} />
      <div className={classes.dim}>of {labelsText(e.series)}</div>
    </>
  )
}

function LabelLines({ labels }: { labels: LabelSet }) {
  return Object.entries(labels).map(([k, v]) => (
    <div key={k}>
      <span className={classes.dim}>{k}:</span> {v}
    </div>
  ))
}

function drawnValues(lines: Line[], hidden: ReadonlySet<number>, stack: boolean, log: boolean): (number | null)[][] {
  const values = lines.map((l) => l.values)
  const drawn = stack ? stacked(values, (i) => !hidden.has(lines[i]?.index ?? -1)) : values
  // A logarithm has no place for zero and below.
  return log ? drawn.map((d) => d.map((v) => (v !== null && v > 0 ? v : null))) : drawn
}

function bandsOf(lines: Line[], hidden: ReadonlySet<number>): uPlot.Band[] {
  const shown = lines.flatMap((l, i) => (hidden.has(l.index) ? [] : [i + 1]))
  return shown.slice(1).map((s, i) => ({ series: [s, shown[i] ?? 1] as [number, number] }))
}

// Ticks that read alike would say nothing: these are written in full.
function distinct(texts: string[], splits: (number | null)[]): string[] {
  const said = texts.filter((t) => t !== '')
  return new Set(said).size === said.length
    ? texts
    : splits.map((v) => (v === null ? '' : String(Number(v.toPrecision(8)))))
}

function hoverOf(
  u: uPlot,
  lines: Line[],
  drawn: (number | null)[][],
  hidden: ReadonlySet<number>,
  exemplars: Exemplar[],
): Hover | undefined {
  const { left, top, idx } = u.cursor
  if (left === undefined || top === undefined || left < 0 || idx === null || idx === undefined) return undefined
  const at = { left: left + u.over.offsetLeft, top: top + u.over.offsetTop }
  const near = exemplars.find((e) => {
    const [x, y] = exemplarAt(u, e, false)
    return Math.abs(x - left) < 7 && Math.abs(y - top) < 7
  })
  if (near) return { ...at, exemplar: near }
  let best: number | undefined
  let distance = Infinity
  for (let i = 0; i < lines.length; i++) {
    const v = drawn[i]?.[idx]
    if (v === null || v === undefined || hidden.has(lines[i]?.index ?? -1)) continue
    const d = Math.abs(u.valToPos(v, 'y') - top)
    if (d < distance) {
      distance = d
      best = i
    }
  }
  const line = best === undefined ? undefined : lines[best]
  return line && { ...at, line: { at: idx, line } }
}

function placeOf(u: uPlot, e: Exemplar): { left: number; top: number } {
  const [x, y] = exemplarAt(u, e, false)
  return { left: x + u.over.offsetLeft, top: y + u.over.offsetTop }
}

// Exemplars beyond the axis stand at its edge: their value is in the tooltip.
function exemplarAt(u: uPlot, e: Exemplar, canvas: boolean): [number, number] {
  const { min, max } = u.scales.y ?? {}
  const v = Math.min(Math.max(e.value, min ?? e.value), max ?? e.value)
  return [u.valToPos(e.time, 'x', canvas), u.valToPos(v, 'y', canvas)]
}

function drawExemplars(u: uPlot, exemplars: Exemplar[], color: string): void {
  const { ctx } = u
  ctx.save()
  ctx.beginPath()
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height)
  ctx.clip()
  const r = 4 * devicePixelRatio
  for (const e of exemplars) {
    const [x, y] = exemplarAt(u, e, true)
    ctx.beginPath()
    ctx.moveTo(x, y - r)
    ctx.lineTo(x + r, y)
    ctx.lineTo(x, y + r)
    ctx.lineTo(x - r, y)
    ctx.closePath()
    ctx.fillStyle = color + 'aa'
    ctx.fill()
  }
  ctx.restore()
}
