import uPlot from 'uplot'
import type { Zone } from '../format/times.ts'
import type { Scheme } from './palette.ts'

/** What charts of a page look alike in: colours, the clock, and zooming by dragging. */
export interface Frame {
  width: number
  height: number
  scheme: Scheme
  zone: Zone
  /** Seconds; called when a person has dragged over a span of time. */
  onZoom: (start: number, end: number) => void
}

// Formats of the time axis on a 24-hour clock: per distance of ticks, what a tick says, and what is added where a year or a day begins.
const clock: (string | number | null)[][] = [
  [31536000, '{YYYY}', null, null, null, null, null, null, 1],
  [2419200, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [86400, '{MMM} {D}', '\n{YYYY}', null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, '\n{MMM} {D}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, '\n{MMM} {D}', null, null, null, 1],
  [0.001, '{HH}:{mm}:{ss}.{fff}', '\n{YYYY}-{MM}-{DD}', null, '\n{MMM} {D}', null, null, null, 1],
]

/** Options that all charts share; the x axis is the grid's, whatever of it has samples. */
export function base(f: Frame, from: number, to: number): Omit<uPlot.Options, 'series'> {
  const ink = f.scheme === 'dark' ? '#c9c9c9' : '#424242'
  const lines = f.scheme === 'dark' ? '#ffffff1c' : '#0000001a'
  const axis: uPlot.Axis = {
    stroke: ink,
    grid: { stroke: lines, width: 1 },
    ticks: { stroke: lines, width: 1 },
    font: '12px system-ui, sans-serif',
  }
  return {
    width: f.width,
    height: f.height,
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
    ...(f.zone === 'utc' && { tzDate: (t: number) => uPlot.tzDate(new Date(t * 1000), 'Etc/UTC') }),
    scales: { x: { time: true, range: () => [from, to === from ? to + 1 : to] } },
    axes: [
      { ...axis, space: 72, values: clock as uPlot.Axis.Values },
      { ...axis, size: wide },
    ],
    hooks: {
      setSelect: [
        (u) => {
          const { left, width } = u.select
          if (width < 6) return
          f.onZoom(u.posToVal(left, 'x'), u.posToVal(left + width, 'x'))
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        },
      ],
    },
  }
}

/** The width of the y axis: that of its widest tick. */
function wide(u: uPlot, values: string[] | null, _axis: number, cycle: number): number {
  if (cycle > 1 || !values) return (u.axes[1] as { _size?: number })._size ?? 60
  u.ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`
  const widest = Math.max(0, ...values.map((v) => (v ? u.ctx.measureText(v).width : 0)))
  return Math.ceil(widest / devicePixelRatio) + 20
}

/** Points where a sample stands alone between gaps: a line would not show it. Elsewhere the line is enough. */
export function lonely(u: uPlot, series: number): number[] {
  const values = u.data[series] ?? []
  const out: number[] = []
  for (let i = 0; i < values.length; i++) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) out.push(i)
  }
  return out
}
