import { ActionIcon, useComputedColorScheme } from '@mantine/core'
import { IconMaximize, IconMinus, IconPlus } from '@tabler/icons-react'
import {
  memo,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type PointerEvent,
  type ReactNode,
} from 'react'
import { hit, type Hit, type Layout } from './layout.ts'
import type { Look } from './look.ts'
import { grounds, paint } from './paint.ts'
import classes from './planet.module.css'
import { SvgMap } from './SvgMap.tsx'
import { Told, type Teller } from './Told.tsx'
import { centre, fit, pan, same, zoomAt, type Size, type View } from './viewport.ts'

/** From so many leaves on, the tree is drawn on a canvas: that many elements would be slow to move. */
export const svgLeaves = 1000

interface Props {
  layout: Layout
  look: Look
  size: Size
  label: string
  /** The id of a member to be shown, ringed. */
  marked: string
  onOpen: (h: NonNullable<Hit>) => void
  /** What is told of what is below the pointer. */
  tip: (h: NonNullable<Hit>) => ReactNode
}

/** The tree as a picture that is panned, zoomed, hovered and clicked. */
export function Drawing({ layout, look, size, label, marked, onOpen, tip }: Props) {
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const ground = grounds[scheme]
  const svg = layout.cells.length <= svgLeaves
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const group = useRef<SVGGElement>(null)
  const ring = useRef<HTMLDivElement>(null)
  const told = useRef<Teller>(null)
  const view = useRef<View>(fit(layout, size))
  const fitted = useRef(true)
  const pending = useRef(0)
  const [near, setNear] = useState(0)

  // What is pointed at changes many times a second: the ring and what is told follow it without all being drawn anew.
  const pointed = useRef<Hit>(undefined)
  const shownMark = useRef(marked)
  useLayoutEffect(() => {
    shownMark.current = marked
    placeRing(ring.current, layout, view.current, pointed.current, marked)
  }, [marked, layout])
  const point = (h: Hit) => {
    const same = idOf(pointed.current) === idOf(h)
    pointed.current = h
    if (same) return
    if (frame.current) frame.current.style.cursor = h ? 'pointer' : 'grab'
    placeRing(ring.current, layout, view.current, h, marked)
    told.current?.tell(h)
  }

  const draw = useCallback(() => {
    const v = view.current
    if (group.current) group.current.setAttribute('transform', `translate(${v.x} ${v.y}) scale(${v.k})`)
    const ctx = canvas.current?.getContext('2d', { alpha: false })
    if (ctx) {
      const dpr = window.devicePixelRatio || 1
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0)
      paint(ctx, layout, look, v, size, ground)
    }
    placeRing(ring.current, layout, v, pointed.current, shownMark.current)
    const legible = svg && layout.style.w * v.k >= 44 && layout.style.kind === 'dot' ? Math.round(v.k * 4) / 4 : 0
    setNear(legible)
    if (frame.current) frame.current.style.touchAction = fitted.current ? 'pan-y' : 'none'
  }, [layout, look, size, ground, svg])

  // Moves are many a frame; one drawing each is enough.
  const soon = useCallback(() => {
    cancelAnimationFrame(pending.current)
    pending.current = requestAnimationFrame(draw)
  }, [draw])

  const go = useCallback(
    (v: View) => {
      view.current = v
      fitted.current = same(v, fit(layout, size))
      soon()
    },
    [layout, size, soon],
  )

  useLayoutEffect(() => {
    const c = canvas.current
    const dpr = window.devicePixelRatio || 1
    if (c && (c.width !== Math.round(size.w * dpr) || c.height !== Math.round(size.h * dpr))) {
      c.width = Math.round(size.w * dpr)
      c.height = Math.round(size.h * dpr)
    }
    // What was seen whole stays whole; what was looked at closely stays where it is.
    view.current = fitted.current ? fit(layout, size) : pan(view.current, 0, 0, layout, size)
    draw()
  }, [layout, size, draw])

  useEffect(() => {
    const p = pointOf(layout, marked)
    if (!p) return
    const v = view.current
    const x = p.x * v.k + v.x
    const y = p.y * v.k + v.y
    if (x < 0 || y < 0 || x > size.w || y > size.h) go(centre(p.x, p.y, v.k, layout, size))
  }, [marked, layout, size, go])

  // React's wheel listeners are passive: they could not keep the page from scrolling.
  useEffect(() => {
    const f = frame.current
    const wheel = (e: WheelEvent) => {
      // On pages that scroll, the wheel scrolls, and zooms with Ctrl held as everywhere.
      if (!e.ctrlKey && !e.metaKey && document.documentElement.scrollHeight > window.innerHeight + 8 && fitted.current)
        return
      e.preventDefault()
      const r = f?.getBoundingClientRect()
      if (r)
        go(
          zoomAt(
            view.current,
            e.clientX - r.left,
            e.clientY - r.top,
            Math.exp(-e.deltaY / (e.deltaMode === 1 ? 12 : 300)),
            layout,
            size,
          ),
        )
    }
    f?.addEventListener('wheel', wheel, { passive: false })
    return () => f?.removeEventListener('wheel', wheel)
  }, [layout, size, go])

  const moves = usePointers(frame, {
    pan: (dx, dy) => go(pan(view.current, dx, dy, layout, size)),
    pinch: (x, y, f) => go(zoomAt(view.current, x, y, f, layout, size)),
    hover: (x, y) => {
      const v = view.current
      const h = hit(layout, (x - v.x) / v.k, (y - v.y) / v.k)
      point(h)
      told.current?.move(x, y)
    },
    leave: () => point(undefined),
    click: (x, y) => {
      const v = view.current
      const h = hit(layout, (x - v.x) / v.k, (y - v.y) / v.k)
      if (h) onOpen(h)
    },
  })

  const step = useCallback(
    (factor: number) => go(zoomAt(view.current, size.w / 2, size.h / 2, factor, layout, size)),
    [layout, size, go],
  )
  const all = useCallback(() => go(fit(layout, size)), [layout, size, go])
  const keys = (e: KeyboardEvent) => {
    const by: Record<string, () => void> = {
      '+': () => step(1.5),
      '=': () => step(1.5),
      '-': () => step(1 / 1.5),
      '0': all,
      ArrowLeft: () => go(pan(view.current, 60, 0, layout, size)),
      ArrowRight: () => go(pan(view.current, -60, 0, layout, size)),
      ArrowUp: () => go(pan(view.current, 0, 60, layout, size)),
      ArrowDown: () => go(pan(view.current, 0, -60, layout, size)),
    }
    const act = by[e.key]
    if (!act || e.ctrlKey || e.metaKey || e.altKey) return
    e.preventDefault()
    act()
  }
  return (
    <div ref={frame} className={classes.frame} style={{ height: size.h }} {...moves}>
      <div
        role="img"
        tabIndex={0}
        aria-label={label + ' Arrow keys move, plus and minus zoom, 0 shows all; the list tells the same in words.'}
        onKeyDown={keys}
        className={classes.picture}
      >
        {svg ? (
          <svg width={size.w} height={size.h} aria-hidden="true">
            <g ref={group}>
              <SvgMap layout={layout} look={look} ground={ground} near={near} />
            </g>
          </svg>
        ) : (
          <canvas ref={canvas} style={{ width: size.w, height: size.h }} aria-hidden="true" />
        )}
      </div>
      <div ref={ring} className={classes.ring} style={{ display: 'none' }} />
      <Told ref={told} size={size} tip={tip} />
      <Zoom wide={size.w < 640} step={step} all={all} />
    </div>
  )
}

/** The buttons that enlarge. */
const Zoom = memo(function Zoom({
  wide,
  step,
  all,
}: {
  wide: boolean
  step: (factor: number) => void
  all: () => void
}) {
  return (
    <ActionIcon.Group orientation={wide ? 'horizontal' : 'vertical'} className={classes.zoom}>
      <ActionIcon variant="default" aria-label="Zoom in" title="Zoom in (+)" onClick={() => step(1.6)}>
        <IconPlus size={16} />
      </ActionIcon>
      <ActionIcon variant="default" aria-label="Zoom out" title="Zoom out (−)" onClick={() => step(1 / 1.6)}>
        <IconMinus size={16} />
      </ActionIcon>
      <ActionIcon variant="default" aria-label="Show all" title="Show all (0)" onClick={all}>
        <IconMaximize size={16} />
      </ActionIcon>
    </ActionIcon.Group>
  )
})

export function idOf(h: Hit): string | undefined {
  return h && (h.kind === 'cell' ? h.cell.id : 'zone ' + h.box.id)
}

function pointOf(l: Layout, id: string): { x: number; y: number } | undefined {
  if (id === '') return undefined
  const c = l.cells.find((k) => k.id === id)
  if (c) return { x: c.x + l.style.w / 2, y: c.y + l.style.h / 2 }
  const b = l.boxes.find((k) => k.id === id)
  return b && { x: b.x + b.w / 2, y: b.y + b.head }
}

function placeRing(ring: HTMLDivElement | null, l: Layout, v: View, over: Hit, marked: string): void {
  if (!ring) return
  const cell = over?.kind === 'cell' ? over.cell : marked ? l.cells.find((c) => c.id === marked) : undefined
  const box = over?.kind === 'box' ? over.box : marked ? l.boxes.find((b) => b.id === marked) : undefined
  const r = cell ? { x: cell.x, y: cell.y, ...l.style } : over?.kind !== 'cell' ? box : undefined
  ring.style.display = r ? 'block' : 'none'
  if (!r) return
  ring.style.transform = `translate(${r.x * v.k + v.x - 2}px, ${r.y * v.k + v.y - 2}px)`
  ring.style.width = r.w * v.k + 4 + 'px'
  ring.style.height = r.h * v.k + 4 + 'px'
}

interface Moves {
  pan: (dx: number, dy: number) => void
  pinch: (x: number, y: number, factor: number) => void
  hover: (x: number, y: number) => void
  leave: () => void
  click: (x: number, y: number) => void
}

// Turns pointers into moves: one drags, two pinch, one that has hardly moved clicks.
function usePointers(frame: React.RefObject<HTMLDivElement | null>, m: Moves) {
  const down = useRef(new Map<number, { x: number; y: number }>())
  const dragged = useRef(0)
  const at = (e: PointerEvent) => {
    const r = frame.current?.getBoundingClientRect()
    return { x: e.clientX - (r?.left ?? 0), y: e.clientY - (r?.top ?? 0) }
  }
  const inside = (e: PointerEvent) => !(e.target as Element).closest('button')
  return {
    onPointerDown: (e: PointerEvent) => {
      if (!inside(e) || e.button !== 0) return
      down.current.set(e.pointerId, at(e))
      dragged.current = 0
    },
    onPointerMove: (e: PointerEvent) => {
      const p = at(e)
      const old = down.current.get(e.pointerId)
      if (!old) return inside(e) ? m.hover(p.x, p.y) : m.leave()
      const other = [...down.current].find(([id]) => id !== e.pointerId)?.[1]
      down.current.set(e.pointerId, p)
      if (other) {
        dragged.current = 100
        const before = Math.hypot(old.x - other.x, old.y - other.y)
        if (before > 0)
          m.pinch((p.x + other.x) / 2, (p.y + other.y) / 2, Math.hypot(p.x - other.x, p.y - other.y) / before)
        return
      }
      dragged.current += Math.hypot(p.x - old.x, p.y - old.y)
      if (dragged.current < 4) return
      frame.current?.setPointerCapture(e.pointerId)
      m.leave()
      m.pan(p.x - old.x, p.y - old.y)
    },
    onPointerUp: (e: PointerEvent) => {
      const p = at(e)
      if (down.current.delete(e.pointerId) && dragged.current < 4) m.click(p.x, p.y)
    },
    onPointerCancel: (e: PointerEvent) => void down.current.delete(e.pointerId),
    onPointerLeave: (e: PointerEvent) => {
      down.current.delete(e.pointerId)
      m.leave()
    },
  }
}
