import type { TreeNode } from '../api/tree.ts'
import { bytes, count, duration } from '../format/numbers.ts'
import { promDuration } from '../format/times.ts'
import { hintMeans, hintWord, lagOf, standing, standings } from '../leaves/standing.ts'
import { short } from '../format/revisions.ts'

import type { Fan, FanOut } from './fanout.ts'

/** What leaves are coloured by. */
export type Mode = 'health' | 'fresh' | 'traffic' | 'revision' | 'hint' | 'query'

export const modes: { value: Mode; label: string }[] = [
  { value: 'health', label: 'Health' },
  { value: 'fresh', label: 'Freshness' },
  { value: 'traffic', label: 'Traffic' },
  { value: 'revision', label: 'Revision' },
  { value: 'hint', label: 'Hints' },
  { value: 'query', label: 'A query' },
]

export function modeOf(text: string | null): Mode {
  return modes.find((m) => m.value === text)?.value ?? 'health'
}

/** A kind of leaves: its colours on light and on dark ground, and a mark for those that cannot tell colours apart. */
export interface Class {
  id: string
  title: string
  means: string
  color: [light: string, dark: string]
  mark?: 'cross' | 'bar' | 'ring'
  /** Zones tell in their titles how many there are of it. */
  alarming?: boolean
}

/** How members are coloured. */
export interface Colouring {
  classes: Class[]
  /** The id of a member's class. */
  of: (n: TreeNode, id: string) => string
  /** What is shown of a member in a few characters. */
  text: (n: TreeNode, id: string) => string
  /** What the width of lines stands for, in the unit of widthTitle; 0 is a thin line. */
  width: (n: TreeNode, id: string) => number
  widthTitle: string
}

const both = (c: string): [string, string] => [c, c]
const missing: Class = {
  id: 'missing',
  title: 'missing',
  means: standings.missing.means,
  color: ['#e03131', '#fa5252'],
  mark: 'cross',
  alarming: true,
}
const pale: [string, string] = ['#adb5bd', '#5c636a']

/** Makes the colouring of a mode over these members, as of at. */
export function colouringOf(mode: Mode, members: TreeNode[], at: string | undefined, fan?: FanOut): Colouring {
  switch (mode) {
    case 'health':
      return health(at)
    case 'fresh':
      return freshness(at)
    case 'traffic':
      return traffic(members)
    case 'revision':
      return revisions(members)
    case 'hint':
      return hints(members)
    case 'query':
      return fanned(fan)
  }
}

const rated = {
  width: (n: TreeNode) => (n.state === 'missing' ? 0 : (n.sampleRate ?? 0)),
  widthTitle: 'samples a second',
}
const thin = { width: () => 0, widthTitle: '' }

function health(at: string | undefined): Colouring {
  return {
    classes: [
      missing,
      { id: 'dark', ...standings.dark, color: ['#9c36b5', '#da77f2'], mark: 'bar', alarming: true },
      { id: 'late', ...standings.late, color: ['#f08c00', '#fcc419'], mark: 'bar', alarming: true },
      { id: 'empty', ...standings.empty, color: pale, mark: 'ring' },
      { id: 'good', ...standings.good, color: ['#0ca678', '#20c997'] },
    ],
    of: (n) => standing(n, at),
    text: (n) => (standing(n, at) === 'good' ? `${count(n.series)} series` : standings[standing(n, at)].title),
    ...thin,
  }
}

const ages: [number, string, string][] = [
  [5, '#099268', '#20c997'],
  [15, '#74b816', '#a9e34b'],
  [60, '#fab005', '#ffe066'],
  [300, '#f76707', '#ff922b'],
]

function freshness(at: string | undefined): Colouring {
  const classes: Class[] = ages.map(([limit, light, dark], i) => ({
    id: 'age' + i,
    title: `≤ ${promDuration(limit)}`,
    means: `the newest sample is at most ${promDuration(limit)} old`,
    color: [light, dark],
    ...(i === ages.length - 1 && { mark: 'bar' as const }),
  }))
  classes.push({
    id: 'old',
    title: `> ${promDuration(300)}`,
    means: standings.dark.means,
    color: ['#862e9c', '#cc5de8'],
    mark: 'bar',
    alarming: true,
  })
  classes.push({ id: 'empty', title: 'no sample', means: standings.empty.means, color: pale, mark: 'ring' }, missing)
  return {
    classes,
    of: (n) => {
      if (n.state === 'missing') return 'missing'
      const lag = lagOf(n, at)
      if (lag === undefined) return 'empty'
      const i = ages.findIndex(([limit]) => lag <= limit)
      return i < 0 ? 'old' : 'age' + i
    },
    text: (n) => (n.state === 'missing' ? 'missing' : duration(lagOf(n, at)) + ' old'),
    ...thin,
  }
}

const blues: [string, string][] = [
  ['#a5d8ff', '#1b3a57'],
  ['#66bdf5', '#1c5a8a'],
  ['#2b8fdb', '#2b8fdb'],
  ['#1864ab', '#66bdf5'],
  ['#0b3a66', '#c5e6ff'],
]

/** Bounds of classes of a size, each 1, 2 or 5 times a power of ten; from the smallest to the largest of values. */
export function steps(values: number[], most: number): number[] {
  const some = values.filter((v) => v > 0)
  if (some.length === 0) return []
  const low = Math.log10(some.reduce((a, b) => Math.min(a, b)))
  const high = Math.log10(some.reduce((a, b) => Math.max(a, b)))
  const out: number[] = []
  for (let i = 1; i < most; i++) {
    const v = 10 ** (low + ((high - low) * i) / most)
    const unit = 10 ** Math.floor(Math.log10(v))
    const nice = [1, 2, 5, 10].map((f) => f * unit).reduce((a, b) => (Math.abs(b - v) < Math.abs(a - v) ? b : a))
    if (nice > (out.at(-1) ?? 0)) out.push(nice)
  }
  return out
}

function traffic(members: TreeNode[]): Colouring {
  const bounds = steps(
    members.filter((n) => n.tier === 'leaf').map((n) => n.sampleRate ?? 0),
    blues.length,
  )
  const classes: Class[] = [...bounds, Infinity].map((b, i) => ({
    id: 'rate' + i,
    title: b === Infinity ? `≥ ${count(bounds.at(-1) ?? 0)}/s` : `< ${count(b)}/s`,
    means: 'samples appended a second, over the last minute or so',
    color: blues[i] ?? both('#0b3a66'),
  }))
  classes.push(
    { id: 'still', title: 'none', means: 'no sample comes, or it is not told', color: pale, mark: 'ring' },
    missing,
  )
  return {
    classes,
    of: (n) => {
      if (n.state === 'missing') return 'missing'
      const rate = n.sampleRate ?? 0
      if (rate <= 0) return 'still'
      const i = bounds.findIndex((b) => rate < b)
      return 'rate' + (i < 0 ? bounds.length : i)
    },
    text: (n) => (n.state === 'missing' ? 'missing' : count(n.sampleRate) + '/s'),
    ...rated,
  }
}

const hues: [string, string][] = [
  ['#1971c2', '#4dabf7'],
  ['#e8590c', '#ff922b'],
  ['#2f9e44', '#69db7c'],
  ['#9c36b5', '#da77f2'],
  ['#c2255c', '#f783ac'],
  ['#0c8599', '#66d9e8'],
  ['#846358', '#c8a99a'],
]

// The most frequent texts get colours of their own, in the order of their names: so colours stay while numbers change.
function byText(members: TreeNode[], of: (n: TreeNode) => string): Map<string, [string, string]> {
  const counts = new Map<string, number>()
  for (const n of members)
    if (n.tier === 'leaf' && n.state !== 'missing' && of(n) !== '') counts.set(of(n), (counts.get(of(n)) ?? 0) + 1)
  const top = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, hues.length)
  return new Map(
    top
      .map(([t]) => t)
      .sort()
      .map((t, i) => [t, hues[i] as [string, string]]),
  )
}

function revisions(members: TreeNode[]): Colouring {
  const top = byText(members, (n) => n.revision ?? '')
  const classes: Class[] = [...top].map(([t, color]) => ({
    id: 'r ' + t,
    title: short(t),
    means: `runs revision ${t}`,
    color,
  }))
  classes.push(
    { id: 'other', title: 'others', means: 'runs a revision that few run', color: ['#495057', '#ced4da'], mark: 'bar' },
    {
      id: 'unknown',
      title: 'none told',
      means: 'has no configuration that was delivered, or its version does not tell',
      color: pale,
      mark: 'ring',
    },
    missing,
  )
  return {
    classes,
    of: (n) =>
      n.state === 'missing' ? 'missing' : !n.revision ? 'unknown' : top.has(n.revision) ? 'r ' + n.revision : 'other',
    text: (n) =>
      n.state === 'missing'
        ? 'missing'
        : n.revision
          ? short(n.revision) + (n.reloadFailed ? ' (reload failed)' : '')
          : 'none told',
    ...thin,
  }
}

function hints(members: TreeNode[]): Colouring {
  const reasons = [...new Set(members.map(hintWord))]
    .filter((w) => w !== 'prunes' && w !== 'none' && w !== 'disconnected')
    .sort()
  const unused = hues.slice(1)
  const classes: Class[] = [
    { id: 'prunes', title: 'prunes', means: hintMeans('prunes'), color: ['#0ca678', '#20c997'] },
    ...reasons.map((w, i): Class => ({
      id: w,
      title: w,
      means: hintMeans(w),
      color: unused[i % unused.length] ?? pale,
      mark: 'bar',
      alarming: true,
    })),
    { id: 'none', title: 'no hint', means: hintMeans('none'), color: pale, mark: 'ring' },
    missing,
  ]
  return {
    classes,
    of: (n) => (n.state === 'missing' ? 'missing' : hintWord(n) === 'disconnected' ? 'none' : hintWord(n)),
    text: (n) => (n.hint?.synced ? bytes(n.hint.bytes) : n.state === 'missing' ? 'missing' : hintWord(n)),
    ...thin,
  }
}

const prunedBy: Record<string, [string, string]> = {
  'pruned-hint': ['hint', 'not asked: its field hint rules out a match'],
  'pruned-label': ['labels', 'not asked: its identity rules out a match'],
  'pruned-time': ['time', 'not asked: it holds no samples of that time'],
  rollup: ['rollup', 'not asked: a rollup above has all that was asked for'],
}

function fanned(fan: FanOut | undefined): Colouring {
  const classes: Class[] = [
    {
      id: 'asked',
      title: fan?.evaluated ? 'asked, had data' : 'asked',
      means: fan?.evaluated ? 'was asked, and answered with data' : 'would be asked',
      color: ['#1971c2', '#4dabf7'],
    },
    {
      id: 'vain',
      title: 'asked in vain',
      means: 'was asked, and has nothing that was selected',
      color: ['#f08c00', '#fcc419'],
      mark: 'bar',
    },
    {
      id: 'failed',
      title: 'failed',
      means: 'did not answer, or not in full: the answer lacks its part',
      color: ['#e03131', '#fa5252'],
      mark: 'cross',
      alarming: true,
    },
    ...Object.entries(prunedBy).map(([id, [title, means]], i): Class => ({
      id,
      title: 'pruned by ' + title,
      means,
      color: greys[i] ?? pale,
    })),
    {
      id: 'untold',
      title: 'not told',
      means: 'the explanation does not say what became of it',
      color: pale,
      mark: 'ring',
    },
  ]
  if (!fan) return { classes: [], of: () => 'untold', text: () => '', ...thin }
  const of = (id: string) => classOfFan(fan.of(id))
  return {
    classes,
    of: (_, id) => of(id),
    text: (_, id) => {
      const f = fan.of(id)
      const c = of(id)
      if (c === 'asked' && fan.evaluated) return f && f.bytes > 0 ? bytes(f.bytes) : `${count(f?.series ?? 0)} series`
      return classes.find((k) => k.id === c)?.title ?? ''
    },
    width: (_, id) => {
      const f = fan.of(id)
      return f && f.verdict === 'asked' && f.above === '' ? f.bytes : 0
    },
    widthTitle: fan.evaluated ? 'bytes' : '',
  }
}

const greys: [string, string][] = [
  ['#ced4da', '#4a5056'],
  ['#dee2e6', '#3d4247'],
  ['#c3c2d6', '#48475c'],
  ['#c0d6c4', '#3f5244'],
]

/** The class of what became of a member in a query. */
export function classOfFan(f: Fan | undefined): string {
  if (!f) return 'untold'
  if (f.failed) return 'failed'
  if (f.verdict === 'asked') return f.empty ? 'vain' : 'asked'
  return f.verdict in prunedBy ? f.verdict : 'untold'
}
