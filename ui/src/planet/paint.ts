import type { Cell, Layout } from './layout.ts'
import type { Look } from './look.ts'
import type { Size, View } from './viewport.ts'

/** Colours of what is no leaf. */
export interface Ground {
  dark: boolean
  body: string
  text: string
  dimmed: string
  border: string
  line: string
  alarm: string
}

export const grounds: Record<'light' | 'dark', Ground> = {
  light: {
    dark: false,
    body: '#ffffff',
    text: '#1f2328',
    dimmed: '#5c636a',
    border: '#ced4da',
    line: '#91a7ba',
    alarm: '#c92a2a',
  },
  dark: {
    dark: true,
    body: '#242424',
    text: '#e6e6e6',
    dimmed: '#a6a9ad',
    border: '#4a4d50',
    line: '#5f7a90',
    alarm: '#ff8787',
  },
}

export const titleFont = '600 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
export const textFont = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'

let measurer: CanvasRenderingContext2D | null | undefined
const widths = new Map<string, number>()
const mostWidths = 20_000

/** The width of a text in pixels. */
export function measure(text: string, font: string): number {
  const key = font + text
  const known = widths.get(key)
  if (known !== undefined) return known
  measurer ??= document.createElement('canvas').getContext('2d')
  let w = text.length * 6.4
  if (measurer) {
    measurer.font = font
    w = measurer.measureText(text).width
  }
  if (widths.size > mostWidths) widths.clear()
  widths.set(key, w)
  return w
}

/** A text that is no wider than so many pixels, its end cut off if need be. */
export function cut(
  text: string,
  width: number,
  font: string,
  of: (text: string, font: string) => number = measure,
): string {
  if (of(text, font) <= width) return text
  let low = 0
  let high = text.length
  while (low < high) {
    const mid = Math.ceil((low + high) / 2)
    if (of(text.slice(0, mid) + '…', font) <= width) low = mid
    else high = mid - 1
  }
  return low === 0 ? '' : text.slice(0, low) + '…'
}

/** What of a box's title fits in so much room: its name first, in full or short, then as much of the numbers as there is room for. */
export function headline(t: { titles: string[]; details: string[] }, room: number): { title: string; detail: string } {
  const gap = 8
  for (const title of t.titles)
    for (const detail of t.details)
      if (measure(title, titleFont) + gap + measure(detail, textFont) <= room) return { title, detail }
  const detail = cut(t.details.at(-1) ?? '', room / 2, textFont)
  return { title: cut(t.titles.at(-1) ?? '', room - gap - measure(detail, textFont), titleFont), detail }
}

/** Draws a layout, seen through a view, on a canvas whose units are the window's pixels. */
export function paint(ctx: CanvasRenderingContext2D, l: Layout, look: Look, v: View, size: Size, ground: Ground): void {
  ctx.fillStyle = ground.body
  ctx.fillRect(0, 0, size.w, size.h)
  ctx.save()
  ctx.translate(v.x, v.y)
  ctx.scale(v.k, v.k)
  const seen = { x1: -v.x / v.k, y1: -v.y / v.k, x2: (size.w - v.x) / v.k, y2: (size.h - v.y) / v.k }
  lines(ctx, l, look, ground)
  root(ctx, l, look, ground)
  boxes(ctx, l, look, v, seen, ground)
  dots(ctx, l, look, v, seen, ground)
  ctx.restore()
}

interface Seen {
  x1: number
  y1: number
  x2: number
  y2: number
}

function lines(ctx: CanvasRenderingContext2D, l: Layout, look: Look, ground: Ground): void {
  l.segments.forEach((s, i) => {
    const { width, away } = look.segments[i] ?? { width: 1, away: false }
    ctx.beginPath()
    ctx.lineWidth = width
    ctx.strokeStyle = away ? ground.alarm : ground.line
    ctx.lineCap = 'round'
    ctx.setLineDash(away ? [4, 3] : [])
    ctx.moveTo(s.x1, s.y1)
    ctx.lineTo(s.x2, s.y2)
    ctx.stroke()
  })
  ctx.setLineDash([])
}

function root(ctx: CanvasRenderingContext2D, l: Layout, look: Look, ground: Ground): void {
  const r = l.root
  ctx.fillStyle = ground.body
  ctx.fillRect(r.x, r.y, r.w, r.h)
  ctx.lineWidth = 1.5
  ctx.strokeStyle = ground.text
  ctx.strokeRect(r.x + 0.75, r.y + 0.75, r.w - 1.5, r.h - 1.5)
  ctx.textBaseline = 'alphabetic'
  ctx.fillStyle = ground.text
  ctx.font = titleFont
  ctx.fillText(cut(look.root.title, r.w - 20, titleFont), r.x + 10, r.y + 17)
  ctx.fillStyle = ground.dimmed
  ctx.font = textFont
  ctx.fillText(cut(look.root.detail, r.w - 20, textFont), r.x + 10, r.y + 32)
}

function boxes(ctx: CanvasRenderingContext2D, l: Layout, look: Look, v: View, seen: Seen, ground: Ground): void {
  // Titles keep their size on screen where their strip is too low to be read.
  const legible = v.k * 12 >= 8
  ctx.textBaseline = 'middle'
  l.boxes.forEach((b, i) => {
    if (b.x > seen.x2 || b.y > seen.y2 || b.x + b.w < seen.x1 || b.y + b.h < seen.y1) return
    const t = look.boxes[i]
    if (!t) return
    ctx.fillStyle = ground.body
    ctx.fillRect(b.x, b.y, b.w, b.h)
    ctx.lineWidth = 1
    ctx.strokeStyle = t.away ? ground.alarm : ground.border
    ctx.setLineDash(t.away ? [5, 3] : [])
    ctx.strokeRect(b.x + 0.5, b.y + 0.5, b.w - 1, b.h - 1)
    ctx.setLineDash([])
    if (!legible) return
    let x = b.x + 8
    if (t.class) {
      ctx.fillStyle = t.class.color[ground.dark ? 1 : 0]
      ctx.fillRect(x, b.y + 7, 9, 9)
      x += 14
    }
    const { title, detail } = headline(t, b.x + b.w - 8 - x)
    ctx.font = textFont
    ctx.fillStyle = t.alarm ? ground.alarm : ground.dimmed
    ctx.fillText(detail, b.x + b.w - 8 - measure(detail, textFont), b.y + 12)
    ctx.font = titleFont
    ctx.fillStyle = ground.text
    ctx.fillText(title, x, b.y + 12)
    if (t.note) {
      ctx.font = textFont
      ctx.fillStyle = t.alarm ? ground.alarm : ground.dimmed
      ctx.fillText(cut(t.note, b.w - 16, textFont), b.x + 8, b.y + b.head + 6)
    }
  })
}

function dots(ctx: CanvasRenderingContext2D, l: Layout, look: Look, v: View, seen: Seen, ground: Ground): void {
  const { w, h } = l.style
  const visible = (c: Cell) => c.x <= seen.x2 && c.y <= seen.y2 && c.x + w >= seen.x1 && c.y + h >= seen.y1
  const whole = seen.x1 <= 0 && seen.y1 <= 0 && seen.x2 >= l.w && seen.y2 >= l.h
  const named: Cell[] = []
  look.groups.forEach(({ bright, faint }, k) => {
    const c = look.classes[k]
    if (!c) return
    ctx.fillStyle = c.color[ground.dark ? 1 : 0]
    ctx.globalAlpha = 0.16
    fill(ctx, whole ? faint : faint.filter(visible), w, h)
    ctx.globalAlpha = 1
    const shown = whole ? bright : bright.filter(visible)
    fill(ctx, shown, w, h)
    if (c.mark && w * v.k >= 5) marks(ctx, l, shown, c.mark, ground)
    if (w * v.k >= 44) named.push(...shown)
  })
  names(ctx, l, look, named, v, ground)
}

// Replicas are round and shards have a corner cut off, so that they are told apart from single leaves. Those are most:
// rectangles alone are faster than as parts of a path, and all other forms faster as one.
function fill(ctx: CanvasRenderingContext2D, cells: Cell[], w: number, h: number): void {
  const r = Math.min(w, h)
  let others = 0
  ctx.beginPath()
  for (const { form, x, y } of cells) {
    if (form === 'single') {
      ctx.fillRect(x, y, w, h)
      continue
    }
    others++
    if (form === 'replica') {
      ctx.roundRect(x, y, w, h, r / 2)
      continue
    }
    ctx.moveTo(x, y)
    ctx.lineTo(x + w - r * 0.4, y)
    ctx.lineTo(x + w, y + r * 0.4)
    ctx.lineTo(x + w, y + h)
    ctx.lineTo(x, y + h)
    ctx.closePath()
  }
  if (others > 0) ctx.fill()
}

function marks(ctx: CanvasRenderingContext2D, l: Layout, cells: Cell[], mark: string, ground: Ground): void {
  const { w, h } = l.style
  const a = w * 0.25
  ctx.beginPath()
  ctx.lineWidth = Math.max(1, w * 0.14)
  ctx.strokeStyle = mark === 'ring' ? ground.text : '#ffffff'
  for (const c of cells) {
    if (mark === 'cross') {
      ctx.moveTo(c.x + a, c.y + a)
      ctx.lineTo(c.x + w - a, c.y + h - a)
      ctx.moveTo(c.x + w - a, c.y + a)
      ctx.lineTo(c.x + a, c.y + h - a)
    } else if (mark === 'bar') {
      ctx.moveTo(c.x + a, c.y + h / 2)
      ctx.lineTo(c.x + w - a, c.y + h / 2)
    }
  }
  if (mark === 'ring') {
    ctx.fillStyle = ground.body
    for (const c of cells) ctx.fillRect(c.x + a, c.y + a, w - 2 * a, h - 2 * a)
  } else ctx.stroke()
}

// Names are written once dots are large enough for them, in letters that keep their size.
function names(ctx: CanvasRenderingContext2D, l: Layout, look: Look, cells: Cell[], v: View, ground: Ground): void {
  if (cells.length === 0) return
  const { w, h } = l.style
  const size = 11 / v.k
  ctx.textBaseline = 'middle'
  ctx.font = textFont.replace('11px', `${size}px`)
  for (const c of cells) {
    const name = cut(look.name(c), w * v.k - 6, textFont)
    const text = cut(look.text(c), w * v.k - 6, textFont)
    ctx.fillStyle = ground.body
    ctx.globalAlpha = 0.85
    ctx.fillRect(c.x, c.y + h - size * 3, w, size * 3)
    ctx.globalAlpha = 1
    ctx.fillStyle = ground.text
    ctx.fillText(name, c.x + 3 / v.k, c.y + h - size * 2.2)
    ctx.fillStyle = ground.dimmed
    ctx.fillText(text, c.x + 3 / v.k, c.y + h - size * 0.9)
  }
}
