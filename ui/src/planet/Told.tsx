import { useImperativeHandle, useLayoutEffect, useRef, useState, type ReactNode, type Ref } from 'react'
import type { Hit } from './layout.ts'
import classes from './planet.module.css'
import type { Size } from './viewport.ts'

/** Has what is pointed at told. */
export interface Teller {
  tell: (h: Hit) => void
  /** Moves it beside a point of the drawing. */
  move: (x: number, y: number) => void
}

/** What is told of what is pointed at, beside the pointer, on the side where there is room. */
export function Told({ ref, size, tip }: { ref: Ref<Teller>; size: Size; tip: (h: NonNullable<Hit>) => ReactNode }) {
  const [over, setOver] = useState<Hit>()
  const box = useRef<HTMLDivElement>(null)
  const at = useRef({ x: 0, y: 0 })
  const own = useRef<Size>({ w: 0, h: 0 })
  const put = () => {
    const { x, y } = at.current
    const { w, h } = own.current
    const left = x + 14 + w <= size.w ? x + 14 : Math.max(4, x - w - 14)
    const top = y + 14 + h <= size.h ? y + 14 : Math.max(4, y - h - 14)
    if (box.current) box.current.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`
  }
  useImperativeHandle(ref, () => ({
    tell: setOver,
    move: (x, y) => {
      at.current = { x, y }
      put()
    },
  }))
  // Measured when what it says changes, and not with each move of the pointer: that would lay the page out each time.
  useLayoutEffect(() => {
    if (!over || !box.current) return
    own.current = { w: box.current.offsetWidth, h: box.current.offsetHeight }
    put()
  })
  return (
    <div ref={box} className={classes.tip} style={{ visibility: over ? 'visible' : 'hidden' }} aria-hidden="true">
      {over && tip(over)}
    </div>
  )
}
