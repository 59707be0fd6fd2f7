import type { ChildHint, HintKind, HintSavings, Kind, Uses, UsesByKind } from '../api/hints.ts'

export const kinds: { kind: Kind; title: string; means: string }[] = [
  { kind: 'equality', title: 'a name', means: 'selectors of a metric name alone: up' },
  { kind: 'several', title: 'a name and values', means: 'with other equality matchers: up{job="api"}' },
  {
    kind: 'regexp',
    title: 'a regular expression',
    means: 'with a regular expression, or a matcher that asks for any value: up{job=~"api-.*"}',
  },
  { kind: 'nameless', title: 'no name', means: 'without a metric name: {job="api"}' },
]

const nothing: Uses = { asked: 0, told: 0, empty: 0, spared: 0, emptyRate: 0 }

/** Uses of all kinds together. */
export function total(uses: UsesByKind): Uses {
  const sum = { ...nothing }
  for (const u of Object.values(uses)) {
    sum.asked += u.asked
    sum.told += u.told
    sum.empty += u.empty
    sum.spared += u.spared
  }
  sum.emptyRate = sum.told > 0 ? sum.empty / sum.told : 0
  return sum
}

export function usesOf(uses: UsesByKind, kind: Kind): Uses {
  return uses[kind] ?? nothing
}

/** The share of requests that hints made unnecessary, of all that there would have been; undefined if there were none. */
export function sparedShare(u: Uses): number | undefined {
  return u.asked + u.spared > 0 ? u.spared / (u.asked + u.spared) : undefined
}

/**
 * The share of children without a match that were asked nevertheless: what hints let through in vain, of all that they
 * should have ruled out. Undefined if nothing tells.
 */
export function passedInVain(u: Uses): number | undefined {
  // Only of those that told is it known; the others are taken to be alike.
  const inVain = u.told > 0 ? (u.asked * u.empty) / u.told : 0
  return inVain + u.spared > 0 ? inVain / (inVain + u.spared) : undefined
}

/** What ruled children out, and what share of all that was spared it is. */
export interface Saving {
  name: string
  /** A label, rather than several matchers together. */
  label: boolean
  spared: number
  share: number
}

/** Savings by label, most first; what is of no single label comes last. */
export function savingRows({ labels, together, others }: HintSavings): Saving[] {
  const rows = [
    ...labels.map(({ label, spared }) => ({ name: label, label: true, spared })),
    { name: 'several matchers together', label: false, spared: together },
    { name: 'other labels', label: false, spared: others },
  ].filter((r) => r.spared > 0)
  const sum = rows.reduce((a, r) => a + r.spared, 0)
  return rows.map((r) => ({ ...r, share: r.spared / sum }))
}

/** The estimated rates of children's filters: the mean weighted by fingerprints, and the worst. */
export function estimated(children: ChildHint[]): { mean: number; worst: number } | undefined {
  let weight = 0
  let sum = 0
  let worst = 0
  for (const { hint } of children) {
    if (!hint || hint.fingerprints === 0) continue
    weight += hint.fingerprints
    sum += hint.fingerprints * hint.falsePositiveRate
    worst = Math.max(worst, hint.falsePositiveRate)
  }
  return weight > 0 ? { mean: sum / weight, worst } : undefined
}

/** What a scheme keeps of one class of facts, or of one label. */
export interface Part {
  name: string
  kept: number
  dropped: number
  facts: number
  bytes: number
  /** What the kinds that are not kept would take. */
  droppedBytes: number
}

function parts(scheme: HintKind[], names: (k: HintKind) => string[]): Part[] {
  const by = new Map<string, Part>()
  for (const k of scheme)
    for (const name of names(k)) {
      const p = by.get(name) ?? { name, kept: 0, dropped: 0, facts: 0, bytes: 0, droppedBytes: 0 }
      if (k.kept) {
        p.kept++
        p.facts += k.facts
        p.bytes += k.bytes
      } else {
        p.dropped++
        p.droppedBytes += k.bytes
      }
      by.set(name, p)
    }
  return [...by.values()].sort(
    (a, b) => b.bytes - a.bytes || b.droppedBytes - a.droppedBytes || (a.name < b.name ? -1 : 1),
  )
}

/** What a scheme keeps by class of facts: values, trigrams, pairs … */
export const byClass = (scheme: HintKind[]): Part[] => parts(scheme, (k) => [k.class])

/** What a scheme keeps by label; facts about two labels count for both, so that sums are more than the whole. */
export const byLabel = (scheme: HintKind[]): Part[] => parts(scheme, (k) => [...new Set(k.labels)])

/** What a scheme takes at a parent, in bytes, and in bytes a series. */
export function schemeSize(scheme: HintKind[], series: number): { bytes: number; perSeries: number | undefined } {
  const bytes = scheme.reduce((a, k) => a + (k.kept ? k.bytes : 0), 0)
  return { bytes, perSeries: series > 0 ? bytes / series : undefined }
}
