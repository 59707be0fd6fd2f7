/** How far apart the points of a graph are: chosen by its width, or in seconds. */
export type Resolution =
  { type: 'auto'; density: 'low' | 'medium' | 'high' } | { type: 'fixed' | 'custom'; step: number }

/** The most points of a series that a tier answers. */
export const maxPoints = 11_000

const points = { low: 100, medium: 250, high: 750 }

/** The step in seconds of a range of that many seconds: whole seconds where it is chosen by density and not finer than one. */
export function stepOf(r: Resolution, range: number): number {
  if (r.type !== 'auto') return Math.max(Math.round(r.step * 1000), 1) / 1000
  const step = range / points[r.density]
  if (range < 100) return Math.max(Math.floor(step * 1000), 1) / 1000
  return Math.max(Math.round(step), 1)
}

/** How many steps a range has, both ends among them. */
export function stepsOf(range: number, step: number): number {
  return Math.floor(range / step + 1e-9) + 1
}

/** The durations that the buttons beside a range go through, in seconds. */
export const rangeSteps = [
  1, 10, 60, 300, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800, 1209600, 2419200, 4838400, 15724800,
  31536000, 63072000,
]

/** The next shorter (-1) or longer (1) range; the same at either end. */
export function nextRange(range: number, way: 1 | -1): number {
  const next = way === 1 ? rangeSteps.find((r) => r > range) : rangeSteps.findLast((r) => r < range)
  return next ?? range
}
