import type { Change, Cluster, Gate, Rollouts, Wave } from '../api/rollouts.ts'
import type { Level } from '../parts/Health.tsx'

const levels: Record<string, Level> = {
  done: 'good',
  idle: 'good',
  running: 'good',
  baking: 'warn',
  'rolling-out': 'warn',
  'rolling-back': 'bad',
  rejected: 'bad',
  refused: 'bad',
  failing: 'bad',
  stalled: 'bad',
  paused: 'warn',
  waiting: 'off',
  unknown: 'bad',
  past: 'off',
}

/** How good a state is; one that is not known is not taken for good. */
export const levelOf = (state: string | undefined): Level => (state ? (levels[state] ?? 'warn') : 'off')

/** What a state of everything means for whoever asks whether they may go on. */
export function verdict(r: Rollouts): string {
  switch (r.state) {
    case 'idle':
      return 'Every cluster runs the newest revision. You may commit.'
    case 'rolling-out':
      return 'A revision is on its way, wave by wave. It goes on by itself.'
    case 'rolling-back':
      return 'A revision was rejected: the clusters that ran it are returning to their last good one.'
    case 'paused':
      return 'No cluster advances until it is resumed.'
    case 'rejected':
      return 'The newest revision was rejected, and nobody runs it. Mend it with a new commit.'
    case 'refused':
      return 'The newest revision cannot be used. The clusters keep what they run; the text below says what to change.'
    case 'waiting':
      return 'The loops wait: for their wave, for an answer of the root, or for a time.'
    case 'failing':
      return 'A step fails, and is tried again. What runs keeps running.'
    default:
      return 'No control loop answers, so that nothing is known of the rollout. What runs keeps running.'
  }
}

/** A gate's verdict in words. */
export function gateText(g: Gate): { level: Level; text: string } {
  switch (g.verdict) {
    case 'holds':
      return { level: 'good', text: 'holds' }
    case 'fails':
      return { level: 'bad', text: g.failed && g.failed > 1 ? `fails, ${g.failed} times in a row` : 'fails' }
    case 'unknown':
      return { level: 'warn', text: 'not known: nothing advances' }
    default:
      return { level: 'off', text: 'not asked yet' }
  }
}

/** Seconds left of a bake, and the share of it that is over; undefined if the wave does not bake. */
export function baking(w: Wave, now: number): { left: number; share: number } | undefined {
  if (!w.bake?.until) return undefined
  const until = Date.parse(w.bake.until)
  const since = w.bake.since ? Date.parse(w.bake.since) : until - (w.bakeSeconds ?? 0) * 1000
  if (Number.isNaN(until) || until <= since) return undefined
  return { left: Math.max(0, (until - now) / 1000), share: Math.min(1, Math.max(0, (now - since) / (until - since))) }
}

/** How many clusters of a wave run the target. */
export function arrived(w: Wave, target: string | undefined): number {
  return (w.clusters ?? []).filter((c) => target !== undefined && c.running === target).length
}

/** What a cluster is doing, and how good that is. */
export function clusterText(c: Cluster): { level: Level; text: string } {
  if (c.loop === 'silent')
    return { level: 'bad', text: `its control loop does not answer${c.error ? `: ${c.error}` : ''}` }
  if (c.loop === 'unknown')
    return { level: 'off', text: 'only the tree tells of it: the root does not know its control loop' }
  if (c.paused) return { level: 'warn', text: 'paused' }
  return { level: levelOf(c.state), text: c.doing ?? c.state ?? '' }
}

/** Where a change is: few places by name, of many how many. Of changes of zones the places are zones. */
export function placesText({ places, tier }: Pick<Change, 'places' | 'tier'>): string {
  const all = places ?? []
  return all.length <= 4 ? all.join(', ') : `${all.length} ${tier === 'zone' ? 'zones' : 'clusters'}`
}
