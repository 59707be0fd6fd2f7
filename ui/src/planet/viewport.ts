/** How a drawing is looked at: enlarged k times, then moved by x and y pixels. */
export interface View {
  k: number
  x: number
  y: number
}

export interface Size {
  w: number
  h: number
}

const largest = 24

/** The view in which all of a drawing is seen; small drawings are enlarged a little. */
export function fit(drawing: Size, window: Size): View {
  const k = Math.min(window.w / drawing.w, window.h / drawing.h, 1.5)
  return { k, x: Math.max(0, (window.w - drawing.w * k) / 2), y: 0 }
}

/** Whether two views are the same to the eye. */
export function same(a: View, b: View): boolean {
  return Math.abs(a.k - b.k) < 1e-3 && Math.abs(a.x - b.x) < 0.5 && Math.abs(a.y - b.y) < 0.5
}

/** Enlarges by a factor, so that what is at the point (px, py) of the window stays there. */
export function zoomAt(v: View, px: number, py: number, factor: number, drawing: Size, window: Size): View {
  const least = Math.min(fit(drawing, window).k, 1)
  const k = Math.min(largest, Math.max(least, v.k * factor))
  const f = k / v.k
  return within({ k, x: px - (px - v.x) * f, y: py - (py - v.y) * f }, drawing, window)
}

export function pan(v: View, dx: number, dy: number, drawing: Size, window: Size): View {
  return within({ k: v.k, x: v.x + dx, y: v.y + dy }, drawing, window)
}

// A drawing that is larger than the window covers it; one that is smaller stays inside.
function within(v: View, drawing: Size, window: Size): View {
  const clamp = (at: number, size: number, room: number) =>
    size <= room ? Math.min(room - size, Math.max(0, at)) : Math.min(0, Math.max(room - size, at))
  return { k: v.k, x: clamp(v.x, drawing.w * v.k, window.w), y: clamp(v.y, drawing.h * v.k, window.h) }
}

/** The view that has a rectangle of the drawing in the middle, enlarged as before or as much as needed to read it. */
export function centre(x: number, y: number, k: number, drawing: Size, window: Size): View {
  return within({ k, x: window.w / 2 - x * k, y: window.h / 2 - y * k }, drawing, window)
}
