import { useLayoutEffect, useRef, useState } from 'react'

/** How wide an element is, and how far from the top of the page: what stands above it comes and goes. In pixels; 0 wide before it is known. */
export function usePlaceOnPage() {
  const ref = useRef<HTMLDivElement>(null)
  const [place, setPlace] = useState({ width: 0, top: 240 })
  const read = () => {
    const r = ref.current?.getBoundingClientRect()
    if (!r) return
    const now = { width: Math.floor(r.width), top: Math.round(r.top + window.scrollY) }
    setPlace((old) => (old.width === now.width && Math.abs(old.top - now.top) <= 2 ? old : now))
  }
  useLayoutEffect(read)
  useLayoutEffect(() => {
    const observer = new ResizeObserver(read)
    if (ref.current) observer.observe(ref.current)
    return () => observer.disconnect()
  }, [])
  return { ref, ...place }
}
