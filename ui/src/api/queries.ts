import { useQuery } from '@tanstack/react-query'
import { ask, pollTimeout } from './client.ts'
import type { Explanation, PathStep } from './explain.ts'
import type { Completeness } from './stats.ts'

export type QueryState = 'active' | 'finished' | 'failed' | 'canceled'

/** One query in the list of active and recent ones. Times are RFC3339, durations seconds. */
export interface QueryRow {
  id: string
  query: string
  /** The endpoint: query, query_range, explain or analyze. */
  kind: string
  /** The grid; absent if the request was refused before it was known. step is 0 for an instant. */
  start?: string
  end?: string
  step: number
  client: string
  begun: string
  /** Of an active query, what it has taken so far. */
  duration: number
  state: QueryState
  code?: number
  error?: string
  series: number
  samples: number
  bytes: number
  /** Children of all tiers below. */
  asked: number
  pruned: number
  failed: number
  queued: number
  replans: number
  fragments: number
  /** Its record has an explanation. */
  explained: boolean
  /** The parameters of the request that say how it is evaluated, with the API's names. */
  options?: Record<string, string>
  /** How far it is, while it runs. */
  progress?: QueryProgress
}

/** How far a query has come: of the tier's own children, how many were asked, have answered, or failed; and who owes an answer. */
export interface QueryProgress {
  asked: number
  answered: number
  failed: number
  /** A hundred names at most. */
  waiting?: string[]
}

/** How far a query has come, in a few words. */
export function progressText(p: QueryProgress): string {
  const waiting = p.waiting ?? []
  const open = p.asked - p.answered - p.failed
  const names = waiting.slice(0, 3).join(', ') + (open > 3 ? ` and ${open - 3} more` : '')
  return [
    `${p.answered} of ${p.asked} ${p.asked === 1 ? 'child has' : 'children have'} answered`,
    p.failed > 0 && `${p.failed} failed`,
    waiting.length > 0 && `waits for ${names}`,
  ]
    .filter(Boolean)
    .join(', ')
}

/** All that is known of one query. */
export interface QueryRecord extends QueryRow {
  completeness?: Completeness
  explanation?: Explanation
  criticalPath?: PathStep[]
}

export interface QueryList {
  active: QueryRow[]
  recent: QueryRow[]
}

/** How many past queries a tier keeps, and in how many bytes. */
export const keptQueries = 1000
export const keptBytes = 16 << 20

const path = '/pando/api/v1/queries'

/** The active and recent queries, asked for anew every so many milliseconds; false is never. */
export function useQueries(every: number | false) {
  return useQuery({
    queryKey: ['queries'],
    queryFn: async ({ signal }) => (await ask<QueryList>(path, {}, { signal, timeout: pollTimeout })).data,
    refetchInterval: every,
  })
}

/** What is known of one query; asked for anew while it runs. */
export function useQueryRecord(id: string) {
  return useQuery({
    queryKey: ['queries', id],
    queryFn: ({ signal }) => askRecord(id, signal),
    enabled: id !== '',
    refetchInterval: (q) => (q.state.data?.state === 'active' ? 1000 : false),
  })
}

/** How far a query is that runs; null while it has no turn yet; '' asks for none. */
export function useProgress(id: string) {
  return useQuery({
    queryKey: ['queries', id, 'progress'],
    queryFn: async ({ signal }) => (await askRecord(id, signal)).progress ?? null,
    enabled: id !== '',
    retry: false,
    gcTime: 0,
    refetchInterval: 1000,
  })
}

export async function askRecord(id: string, signal?: AbortSignal): Promise<QueryRecord> {
  return (
    await ask<QueryRecord>(`${path}/${encodeURIComponent(id)}`, {}, { timeout: pollTimeout, ...(signal && { signal }) })
  ).data
}

/** Cancels an active query, in this tier and all below. */
export async function cancelQuery(id: string): Promise<void> {
  await ask(`${path}/${encodeURIComponent(id)}`, {}, { method: 'DELETE' })
}
