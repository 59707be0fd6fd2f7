/** What hints were good for, by selectors of one kind; docs/api.md says what counts. */
export interface Uses {
  asked: number
  told: number
  empty: number
  spared: number
  emptyRate: number
}

/** Kinds of selectors, from those that hints serve best. */
export type Kind = 'equality' | 'several' | 'regexp' | 'nameless'

export type UsesByKind = Partial<Record<Kind, Uses>>

/** The field hints that a tier knows, as /pando/api/v1/hints tells them. */
export interface Hints {
  name: string
  tier: string
  own?: OwnHint
  uses: UsesByKind
  /** Absent from tiers of versions that do not tell. */
  savings?: HintSavings
  children: ChildHint[]
}

/** By which labels hints spared requests, estimated. */
export interface HintSavings {
  labels: { label: string; spared: number }[]
  /** What no matcher alone ruled out. */
  together: number
  /** Labels beyond the first hundred. */
  others: number
}

/** What a tier offers its parents. */
export interface OwnHint {
  complete: boolean
  fingerprints: number
  bytes: number
  epoch: string
  /** Of a leaf: which kinds of facts about its series it tells. */
  scheme?: HintKind[]
}

export interface HintKind {
  class: string
  labels: string[]
  kept: boolean
  facts: number
  /** What the facts take at a parent, or would. */
  bytes: number
  reason: string
}

export interface ChildHint {
  name: string
  tier: string
  connected: boolean
  synced: boolean
  reason?: string
  unsynced?: string
  hint?: HintState
  uses: UsesByKind
}

export interface HintState {
  fingerprints: number
  bytes: number
  layers: number
  /** The share of the filter's room that is taken. */
  fill: number
  epoch: string
  /** Seconds since the latest frame. */
  age: number
  /** Estimated, of a single fingerprint. */
  falsePositiveRate: number
  sections: HintSection[] | null
}

/** What is held of series that have samples in a span of time; in Unix seconds, absent where the span has no such end. */
export interface HintSection {
  from?: number
  to?: number
  fingerprints: number
  bytes: number
}
