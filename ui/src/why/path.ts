import type { PathStep } from '../api/explain.ts'

/** A part of a tier's time on the critical path, as shares (0 to 1) of the whole. */
export interface Segment {
  kind: 'queued' | 'wire' | 'self' | 'below'
  from: number
  share: number
  ns: number
}

/** A tier on the critical path: its bar begins where what the tier above did itself ends. */
export interface Bar {
  step: PathStep
  segments: Segment[]
  /** What the steps below took, ns. */
  below: number
}

/**
 * Lays the critical path out as bars below each other. Within a bar come queued, wire, self, and last what is below, under which the next bar
 * stands; a tier's own work is not told apart by when it was done.
 */
export function bars(path: PathStep[]): Bar[] {
  const whole = path[0]?.totalNs ?? 0
  if (whole <= 0) return []
  let at = 0
  return path.map((step) => {
    const below = Math.max(0, step.totalNs - step.queuedNs - step.wireNs - step.selfNs)
    const segments: Segment[] = []
    for (const [kind, ns] of [
      ['queued', step.queuedNs],
      ['wire', step.wireNs],
      ['self', step.selfNs],
      ['below', below],
    ] as const) {
      if (ns <= 0) continue
      segments.push({ kind, from: at, share: ns / whole, ns })
      if (kind !== 'below') at += ns / whole
    }
    return { step, segments, below }
  })
}

/** What to look at first: the largest part of the whole, in a sentence. */
export function verdictOf(
  path: PathStep[],
): { step: PathStep; kind: 'queued' | 'wire' | 'self'; share: number } | undefined {
  const whole = path[0]?.totalNs ?? 0
  let best: { step: PathStep; kind: 'queued' | 'wire' | 'self'; share: number } | undefined
  for (const step of path) {
    for (const [kind, ns] of [
      ['queued', step.queuedNs],
      ['wire', step.wireNs],
      ['self', step.selfNs],
    ] as const) {
      if (whole > 0 && ns > 0 && ns / whole > (best?.share ?? 0)) best = { step, kind, share: ns / whole }
    }
  }
  return best
}
