import { useEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { When } from '../parts/When.tsx'
import { count } from '../format/numbers.ts'
import type { Heatmap } from './heatmap.ts'
import { heat, type Scheme } from './palette.ts'
import { base, type Frame } from './plot.ts'
import classes from './Query.module.css'
import { Tip } from './Tip.tsx'
import { withUnit, type Unit } from './unittext.ts'

interface Props extends Frame {
  times: number[]
  step: number
  map: Heatmap
  unit: Unit
  label: string
}

interface Hover {
  left: number
  top: number
  column: number
  row: number
}

/** Counts of buckets over time: each bucket is a row of the same height, the more the count, the stronger its colour. */
export function HeatmapChart(p: Props) {
  const parent = useRef<HTMLDivElement>(null)
  const [hover, setHover] = useState<Hover | undefined>()
  const latest = useRef(p)
  latest.current = p
  const { times, step, map, unit, width, height, scheme, zone } = p
  useEffect(() => {
    if (!parent.current || width < 50) return
    const rows = map.bounds.length - 1
    const frame = { width, height, scheme, zone, onZoom: (a: number, b: number) => latest.current.onZoom(a, b) }
    const o = base(frame, (times[0] ?? 0) - step / 2, (times.at(-1) ?? 1) + step / 2)
    const options: uPlot.Options = {
      ...o,
      scales: { ...o.scales, y: { range: () => [0, rows] } },
      axes: [
        o.axes?.[0] ?? {},
        {
          ...o.axes?.[1],
          splits: (u) => splits(rows, Math.max(2, Math.floor(u.bbox.height / devicePixelRatio / 28))),
          values: (_u, s) => s.map((i) => bound(map.bounds[i] ?? 0, unit)),
        },
      ],
      series: [{}, { show: false }],
      hooks: {
        ...o.hooks,
        draw: [(u) => draw(u, times, step, map, scheme)],
        setCursor: [(u) => setHover(hoverOf(u, times, step, rows))],
      },
    }
    const u = new uPlot(options, [times, times.map(() => 0)], parent.current)
    const leave = () => setHover(undefined)
    u.over.addEventListener('mouseleave', leave)
    return () => {
      setHover(undefined)
      u.destroy()
    }
  }, [times, step, map, unit, width, height, scheme, zone])
  return (
    <>
      <div className={classes.chart} style={{ height }}>
        <div ref={parent} role="img" aria-label={p.label} />
        {hover && (
          <Tip left={hover.left} top={hover.top} width={width}>
            <div>
              <When t={(times[hover.column] ?? 0) * 1000} />
            </div>
            <div>
              {bound(map.bounds[hover.row] ?? 0, unit)} to {bound(map.bounds[hover.row + 1] ?? 0, unit)}:{' '}
              <b>{Number((map.cells[hover.column]?.[hover.row] ?? 0).toPrecision(6))}</b>
            </div>
          </Tip>
        )}
      </div>
      <Ramp max={map.max} scheme={scheme} />
    </>
  )
}

// Few observations stay visible beside many: colour goes with the square root.
const shade = (n: number, max: number) => (max > 0 ? Math.sqrt(n / max) : 0)

function Ramp({ max, scheme }: { max: number; scheme: Scheme }) {
  const stops = [0, 0.25, 0.5, 0.75, 1].map((s) => `${heat(s, scheme)} ${s * 100}%`).join(', ')
  return (
    <div className={classes.ramp}>
      <span className={classes.dim}>per cell (by square root)</span>
      <span>0</span>
      <span style={{ width: 160, height: 10, background: `linear-gradient(to right, ${stops})` }} aria-hidden="true" />
      <span>{count(max)}</span>
    </div>
  )
}

function bound(b: number, unit: Unit): string {
  if (!Number.isFinite(b)) return b > 0 ? '+Inf' : '-Inf'
  return withUnit(b, unit)
}

function splits(rows: number, room: number): number[] {
  const every = Math.max(1, Math.ceil(rows / room))
  return Array.from({ length: Math.floor(rows / every) + 1 }, (_, i) => i * every)
}

function draw(u: uPlot, times: number[], step: number, map: Heatmap, scheme: Scheme): void {
  const { ctx } = u
  ctx.save()
  ctx.beginPath()
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height)
  ctx.clip()
  map.cells.forEach((column, i) => {
    const t = times[i] ?? 0
    const x = Math.floor(u.valToPos(t - step / 2, 'x', true))
    const w = Math.max(1, Math.ceil(u.valToPos(t + step / 2, 'x', true)) - x)
    column.forEach((n, r) => {
      if (!(n > 0)) return
      const y = Math.floor(u.valToPos(r + 1, 'y', true))
      ctx.fillStyle = heat(shade(n, map.max), scheme)
      ctx.fillRect(x, y, w, Math.max(1, Math.ceil(u.valToPos(r, 'y', true)) - y))
    })
  })
  ctx.restore()
}

function hoverOf(u: uPlot, times: number[], step: number, rows: number): Hover | undefined {
  const { left, top } = u.cursor
  if (left === undefined || top === undefined || left < 0 || top < 0) return undefined
  const column = Math.round((u.posToVal(left, 'x') - (times[0] ?? 0)) / step)
  const row = Math.floor(u.posToVal(top, 'y'))
  if (column < 0 || column >= times.length || row < 0 || row >= rows) return undefined
  return { left: left + u.over.offsetLeft, top: top + u.over.offsetTop, column, row }
}
