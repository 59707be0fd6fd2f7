import { useQueries, useQuery } from '@tanstack/react-query'
import { ApiError, askPlain, belowTimeout } from './client.ts'
import { memberParams, memberPath } from './member.ts'

/** What one tier keeps of rollups, as /pando/api/v1/rollups tells it; times are Unix seconds. */
export interface RollupList {
  name: string
  tier: string
  rules: Rollup[]
  /** Who is away, for whom points wait; twenty at most. Older tiers do not tell. */
  awaited?: Awaited[]
}

/** Somebody away since a time; released is when points are made without them. Zero if that is not known yet. */
export interface Awaited {
  name: string
  since: number
  released: number
}

/** The points of one rule at one distance. */
export interface Rollup {
  id: string
  name: string
  expr: string
  every: number
  for: number
  since: number
  until: number
  /** The newest point that is due, or there already; all from since up to it are counted. Older tiers do not tell. */
  due?: number
  lag: number
  whole: number
  partial: number
  unfit: number
  absent: number
  /** Queries to the tier in whose answer it had a part. */
  queries?: number
  /** The oldest ones; holesLeftOut counts newer ones that are not told. */
  holes: Hole[] | null
  holesLeftOut?: number
  failing?: string
  blocked?: boolean
}

export interface Hole {
  from: number
  to: number
  state: 'absent' | 'partial' | 'unfit'
  missing?: string[]
}

/** How far the newest point that has all whole ones before it is behind, in seconds; undefined if there is none. */
export function behind(r: Rollup): number | undefined {
  return r.until > 0 ? r.lag : undefined
}

/** How far the rule that is furthest behind is; undefined if one has no such point. */
export function furthestBehind(rules: Rollup[]): number | undefined {
  const all = rules.map(behind)
  return all.includes(undefined) ? undefined : Math.max(...all.map((n) => n ?? 0))
}

const interval = 10_000

async function rollupsOf(member: string, signal: AbortSignal): Promise<RollupList | null> {
  try {
    return await askPlain<RollupList>(memberPath('/pando/api/v1/rollups', member), memberParams({}, member), {
      signal,
      timeout: belowTimeout,
    })
  } catch (e) {
    // A tier that keeps none says so with 404; a member that is not known has a type of its own.
    if (e instanceof ApiError && e.status === 404 && e.type === 'not_found') return null
    throw e
  }
}

/** The rollups of one tier; null if it keeps none. */
export function useRollups(member: string) {
  return useQuery({
    queryKey: ['rollups', member],
    queryFn: ({ signal }) => rollupsOf(member, signal),
    refetchInterval: interval,
  })
}

/** The rollups of several members, in their order. */
export function useRollupsOf(members: string[]) {
  return useQueries({
    queries: members.map((member) => ({
      queryKey: ['rollups', member],
      queryFn: ({ signal }: { signal: AbortSignal }) => rollupsOf(member, signal),
      refetchInterval: interval,
    })),
  })
}
