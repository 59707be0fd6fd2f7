import { ask, type Answer, type Params } from './client.ts'
import type { Alignment, RollupUse, Verdict } from './stats.ts'

/** A part of a query that was not pushed down, or that no rollup answers, and why. */
export interface Cut {
  expr: string
  why: string
}

/** What one tier did, or would do, with one request. Fields ending in Ns are nanoseconds, times milliseconds since the epoch. */
export interface Explanation {
  name: string
  tier: string
  query: string
  start: number
  end: number
  /** Zero for an instant. */
  step: number
  ops?: string[]
  residual?: string
  fragments?: Fragment[]
  cuts?: Cut[]
  unrolled?: Cut[]
  aligned?: Alignment
  replans?: string[]
  cache?: string
  queuedNs?: number
  plannedNs?: number
  totalNs?: number
  wastedNs?: number
  series: number
  samples: number
  truncated?: string
}

/** One fragment of a plan: what children are asked. */
export interface Fragment {
  id: string
  /** "raw" for raw series that are pulled, "guard" for what must have no result, else how answers are put together. */
  kind: string
  query: string
  start: number
  end: number
  step: number
  ops?: string[]
  why?: string
  children: Edge[] | null
  pruned?: Partial<Record<Verdict, number>>
  note?: string
  rollup?: RollupUse
}

/** What one child had to do with one fragment. */
export interface Edge {
  child: string
  tier: string
  verdict: Verdict
  evidence?: string
  /** The kind of the selector by which a child was asked in vain. */
  empty?: string
  failed?: string
  late?: boolean
  hedged?: boolean
  cached?: boolean
  bytes?: number
  series?: number
  samples?: number
  timeNs?: number
  below?: Explanation
}

/** One tier on the critical path: queued, wire and self are parts of total, the rest of it is the next step. */
export interface PathStep {
  name: string
  tier: string
  fragment?: string
  totalNs: number
  queuedNs: number
  wireNs: number
  selfNs: number
  late?: boolean
  failed?: string
}

/** The answer of explain and of analyze; what only an analysis has is absent from a plan. */
export interface Explained<S = unknown> {
  id: string
  explanation: Explanation | null
  criticalPath?: PathStep[]
  resultType?: string
  series: number
  samples: number
  stats?: S
}

/** Asks for the plan of a query; evaluates nothing. */
export function askPlan<S>(params: Params, signal?: AbortSignal): Promise<Answer<Explained<S>>> {
  return ask('/pando/api/v1/explain', params, signal ? { signal } : {})
}

/** Evaluates a query under an id of the caller's and tells what each part took, without the answer. */
export function askAnalysis<S>(params: Params, id: string, signal?: AbortSignal): Promise<Answer<Explained<S>>> {
  const headers = { 'X-Pando-Query-Id': id }
  return ask('/pando/api/v1/analyze', params, signal ? { signal, headers } : { headers })
}
