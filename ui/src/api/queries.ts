import { useQuery } from '@tanstack/react-query'
import { ask } from './client.ts'
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
    queryFn: async ({ signal }) => (await ask<QueryList>(path, {}, { signal })).data,
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

export async function askRecord(id: string, signal?: AbortSignal): Promise<QueryRecord> {
  return (await ask<QueryRecord>(`${path}/${encodeURIComponent(id)}`, {}, signal ? { signal } : {})).data
}

/** Cancels an active query, in this tier and all below. */
export async function cancelQuery(id: string): Promise<void> {
  await ask(`${path}/${encodeURIComponent(id)}`, {}, { method: 'DELETE' })
}
