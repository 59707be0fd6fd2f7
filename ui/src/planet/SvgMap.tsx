import { memo } from 'react'
import type { Cell, Layout } from './layout.ts'
import type { Look } from './look.ts'
import { cut, headline, textFont, titleFont, type Ground } from './paint.ts'

/** Draws a layout as SVG, for trees of up to a thousand leaves. It is moved by what is around it. */
export const SvgMap = memo(function SvgMap({
  layout,
  look,
  ground,
  near,
}: {
  layout: Layout
  look: Look
  ground: Ground
  near: number
}) {
  return (
    <>
      {layout.segments.map((s, i) => {
        const { width, away } = look.segments[i] ?? { width: 1, away: false }
        return (
          <line
            key={i}
            x1={s.x1}
            y1={s.y1}
            x2={s.x2}
            y2={s.y2}
            stroke={away ? ground.alarm : ground.line}
            strokeWidth={width}
            strokeLinecap="round"
            strokeDasharray={away ? '4 3' : undefined}
          />
        )
      })}
      <Root layout={layout} look={look} ground={ground} />
      {layout.boxes.map((_, i) => (
        <Zone key={layout.boxes[i]?.id} index={i} layout={layout} look={look} ground={ground} />
      ))}
      {layout.cells.map((c, i) => (
        <Leaf key={c.id} cell={c} index={i} layout={layout} look={look} ground={ground} near={near} />
      ))}
    </>
  )
})

function Root({ layout, look, ground }: Omit<Part, 'index'>) {
  const r = layout.root
  return (
    <g transform={`translate(${r.x} ${r.y})`}>
      <rect
        x={0.5}
        y={0.5}
        width={r.w - 1}
        height={r.h - 1}
        rx={3}
        fill={ground.body}
        stroke={ground.text}
        strokeWidth={1.5}
      />
      <text x={10} y={17} fill={ground.text} style={{ font: titleFont }}>
        {cut(look.root.title, r.w - 20, titleFont)}
      </text>
      <text x={10} y={32} fill={ground.dimmed} style={{ font: textFont }}>
        {cut(look.root.detail, r.w - 20, textFont)}
      </text>
    </g>
  )
}

interface Part {
  index: number
  layout: Layout
  look: Look
  ground: Ground
}

function Zone({ index, layout, look, ground }: Part) {
  const b = layout.boxes[index]
  const t = look.boxes[index]
  if (!b || !t) return null
  const { away } = t
  const x = b.x + 8 + (t.class ? 14 : 0)
  const { title, detail } = headline(t, b.x + b.w - 8 - x)
  return (
    <g>
      <rect
        x={b.x + 0.5}
        y={b.y + 0.5}
        width={b.w - 1}
        height={b.h - 1}
        fill={ground.body}
        stroke={away ? ground.alarm : ground.border}
        strokeDasharray={away ? '5 3' : undefined}
        rx={3}
      />
      {t.class && <rect x={b.x + 8} y={b.y + 7} width={9} height={9} fill={t.class.color[ground.dark ? 1 : 0]} />}
      <text x={x} y={b.y + 16} fill={ground.text} style={{ font: titleFont }}>
        {title}
      </text>
      <text
        x={b.x + b.w - 8}
        y={b.y + 16}
        textAnchor="end"
        fill={t.alarm ? ground.alarm : ground.dimmed}
        style={{ font: textFont }}
      >
        {detail}
      </text>
      {t.note && (
        <text
          x={b.x + 8}
          y={b.y + b.head + 10}
          fill={t.alarm ? ground.alarm : ground.dimmed}
          style={{ font: textFont }}
        >
          {cut(t.note, b.w - 16, textFont)}
        </text>
      )}
    </g>
  )
}

function Leaf({ cell, index, layout, look, ground, near }: Part & { cell: Cell; near: number }) {
  const { kind, w, h } = layout.style
  const c = look.classes[look.cellClass[index] ?? 0]
  if (!c) return null
  const color = c.color[ground.dark ? 1 : 0]
  const faint = look.faint?.[index] === 1
  const { replica, shard } = cell.place.data
  const away = c.mark === 'cross'
  if (kind === 'dot')
    return (
      <g transform={`translate(${cell.x} ${cell.y})`} opacity={faint ? 0.16 : 1}>
        <Shape w={w} h={h} replica={replica} shard={shard} fill={color} />
        <Mark mark={c.mark} w={w} h={h} ground={ground} />
        {near > 0 && !faint && (
          <>
            <rect y={h - 33 / near} width={w} height={33 / near} fill={ground.body} opacity={0.85} />
            <text x={3 / near} y={h - 20 / near} fill={ground.text} style={{ font: textFont, fontSize: 11 / near }}>
              {cut(look.name(cell), w * near - 6, textFont)}
            </text>
            <text x={3 / near} y={h - 6 / near} fill={ground.dimmed} style={{ font: textFont, fontSize: 11 / near }}>
              {cut(look.text(cell), w * near - 6, textFont)}
            </text>
          </>
        )}
      </g>
    )
  const strip = kind === 'card' ? 14 : 11
  const both = kind === 'card'
  return (
    <g transform={`translate(${cell.x} ${cell.y})`} opacity={faint ? 0.22 : 1}>
      <rect
        x={0.5}
        y={0.5}
        width={w - 1}
        height={h - 1}
        rx={3}
        fill={ground.body}
        stroke={c.alarming ? color : ground.border}
        strokeWidth={away ? 2 : 1}
        strokeDasharray={away ? '5 3' : undefined}
      />
      <Shape w={strip} h={h} replica={undefined} shard={undefined} fill={color} />
      <g transform={`translate(0 ${(h - strip) / 2})`}>
        <Mark mark={c.mark} w={strip} h={strip} ground={ground} />
      </g>
      <text
        x={strip + 6}
        y={both ? h / 2 - 4 : h / 2 + 4}
        fill={ground.text}
        style={{ font: both ? titleFont : textFont }}
      >
        {cut(look.name(cell), w - strip - 10, both ? titleFont : textFont)}
      </text>
      {both && (
        <text x={strip + 6} y={h / 2 + 13} fill={away ? ground.alarm : ground.dimmed} style={{ font: textFont }}>
          {cut(look.text(cell), w - strip - 10, textFont)}
        </text>
      )}
    </g>
  )
}

function Shape({
  w,
  h,
  replica,
  shard,
  fill,
}: {
  w: number
  h: number
  replica: string | undefined
  shard: string | undefined
  fill: string
}) {
  if (replica) return <rect width={w} height={h} rx={Math.min(w, h) / 2} fill={fill} />
  if (!shard) return <rect width={w} height={h} rx={1} fill={fill} />
  const r = Math.min(w, h) * 0.4
  return <path d={`M0 0H${w - r}L${w} ${r}V${h}H0z`} fill={fill} />
}

/** What tells classes apart without colour. */
export function Mark({ mark, w, h, ground }: { mark: string | undefined; w: number; h: number; ground: Ground }) {
  const a = w * 0.25
  const line = { stroke: '#ffffff', strokeWidth: Math.max(1, w * 0.14) }
  if (mark === 'cross') return <path d={`M${a} ${a}L${w - a} ${h - a}M${w - a} ${a}L${a} ${h - a}`} {...line} />
  if (mark === 'bar') return <path d={`M${a} ${h / 2}H${w - a}`} {...line} />
  if (mark === 'ring') return <rect x={a} y={a} width={w - 2 * a} height={h - 2 * a} fill={ground.body} />
  return null
}
