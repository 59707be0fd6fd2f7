import type { TreeNode } from '../api/tree.ts'
import { duration } from '../format/numbers.ts'
import type { Level } from '../parts/Health.tsx'

/** Seconds after which the newest sample counts as late, and after which instant queries no longer find it (the lookback). */
export const lateAfter = 60
export const goneAfter = 300

/** How a member is, worst first. */
export type Standing = 'missing' | 'dark' | 'late' | 'empty' | 'good'

export const standings: Record<Standing, { level: Level; title: string; means: string }> = {
  missing: { level: 'bad', title: 'missing', means: 'not connected: answers lack its part' },
  dark: {
    level: 'bad',
    title: 'dark',
    means: `connected, but its newest sample is older than ${duration(goneAfter)}: instant queries find nothing of it`,
  },
  late: { level: 'warn', title: 'late', means: `its newest sample is older than ${duration(lateAfter)}` },
  empty: { level: 'off', title: 'empty', means: 'connected, and has no sample yet' },
  good: { level: 'good', title: 'up', means: 'connected, and its samples are new' },
}

/** Seconds from a node's newest sample to when the tree was asked, by the clocks of both; undefined if it has no sample. */
export function lagOf(n: TreeNode, at: string | undefined): number | undefined {
  if (!n.maxt || !at) return undefined
  return Math.max(0, (moment(at) - Date.parse(n.maxt)) / 1000)
}

// Ten thousand leaves are asked about the same moment.
let known = { text: '', ms: 0 }

function moment(text: string): number {
  if (known.text !== text) known = { text, ms: Date.parse(text) }
  return known.ms
}

/** What the lag of a node is and is not, for people. */
export const lagMeans =
  'Now, by the clock of the tier that answers, less the time of the newest sample that the member has told of. It is at most the scrape interval, a heartbeat (1 s) for each tier between, and the difference of the clocks.'

export function standing(n: TreeNode, at: string | undefined): Standing {
  if (n.state === 'missing') return 'missing'
  return standingAt(lagOf(n, at))
}

/** How a member is that is not missing and whose lag is so many seconds. */
export function standingAt(lag: number | undefined): Standing {
  if (lag === undefined) return 'empty'
  return lag > goneAfter ? 'dark' : lag > lateAfter ? 'late' : 'good'
}

/** Why hints do not prune, by the words that the API uses. */
export const unusedReasons: Record<string, string> = {
  disconnected: 'the child is not connected',
  'never-synced': 'the hint has not come, or not all of it, since the child connected',
  incomplete: 'the child does not know all that it holds',
  waiting: 'the hints of others are sent first',
  late: 'updates of the hint are late',
  'too-large': 'the hint is larger than this tier takes',
  'foreign-version': 'the hint is of a version that this tier cannot read',
  truncated: 'the stream broke off; it is being sent anew',
  checksum: 'the stream was damaged; it is being sent anew',
  malformed: 'the stream cannot be read; it is being sent anew',
  'out-of-order': 'the stream lost its order; it is being sent anew',
  off: 'hints are switched off',
}

/** Whether a node's hint prunes, in a word: 'prunes', the reason why not, or 'none' if there is no hint. */
export function hintWord(n: TreeNode): string {
  if (!n.hint) return 'none'
  return n.hint.synced ? 'prunes' : (n.hint.reason ?? 'unused')
}

/** Says of a word of hintWord what it means. */
export function hintMeans(word: string): string {
  if (word === 'prunes') return 'the hint is whole and new, so that the child is not asked in vain'
  if (word === 'none') return 'the tier above it tells of no hint: hints are off, or none has come'
  return unusedReasons[word] ?? `the hint is not used: ${word}`
}

/** Seconds of a node's gaps together, those that last still up to at. */
export function gapTime(n: TreeNode, at: string | undefined): number {
  let sum = 0
  if (!n.gaps) return sum
  for (const g of n.gaps) {
    const end = g.end ?? at
    if (end) sum += Math.max(0, (Date.parse(end) - Date.parse(g.start)) / 1000)
  }
  return sum
}

// A short gap, as at a restart, is shown but is no problem to be dealt with today.
const gapMatters = 60
const gapForgotten = 86400

/** Whether a node misses samples now, or has missed a minute or more within a day. */
export function gapsMatter(n: TreeNode, at: string | undefined): boolean {
  if (!at || !n.gaps) return false
  return n.gaps.some((g) => {
    if (!g.end) return true
    const end = Date.parse(g.end)
    return end - Date.parse(g.start) >= gapMatters * 1000 && moment(at) - end < gapForgotten * 1000
  })
}
