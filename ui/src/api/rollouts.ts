import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { askPlain, pollTimeout } from './client.ts'

const path = '/pando/api/v1/rollouts'

/** How a commit reaches the clusters, as /pando/api/v1/rollouts tells it; docs/api.md describes the fields. Times are RFC3339. */
export interface Rollouts {
  time: string
  ref?: string
  state: string
  doing?: string
  target?: string
  /** Clusters by the revision that they run. */
  running?: Record<string, number>
  waves: Wave[] | null
  refused?: Refused[] | null
  rejected?: Rejected[] | null
  paused?: string[] | null
  commands?: Command[] | null
  warnings?: string[] | null
}

export interface Wave {
  name: string
  state: string
  bakeSeconds?: number
  bake?: { revision: string; since?: string; until?: string }
  gates?: Gate[] | null
  clusters?: Cluster[] | null
}

export interface Gate {
  name: string
  expr: string
  forSeconds?: number
  verdict: 'holds' | 'fails' | 'unknown' | ''
  value?: number
  samples?: number
  labels?: Record<string, string>
  failed?: number
  error?: string
  at?: string
  heldSince?: string
  cluster?: string
}

export interface Cluster {
  cluster: string
  zone?: string
  loop: 'answers' | 'silent' | 'unknown'
  error?: string
  state?: string
  doing?: string
  until?: string
  running?: string
  runningAt?: string
  pending?: string
  good?: string[]
  paused?: boolean
  pinned?: string
  promoted?: string
  problems?: Record<string, unknown>
}

export interface Refused {
  revision: string
  reason?: string
  message?: string
  at?: string
  clusters?: string[]
}

export interface Rejected {
  revision: string
  cluster?: string
  why?: string
  at?: string
}

export interface Command {
  name: string
  about?: string
  revision: 'none' | 'optional' | 'needed'
  needs?: string
  allowed: boolean
  why?: string
}

export interface Commit {
  revision: string
  parents?: string[]
  author?: string
  when?: string
  subject?: string
  message?: string
  signer?: string
  state: string
  newest?: boolean
  clusters?: string[]
  good?: string[]
  rejected?: Rejected[] | Rejected
  refused?: Refused
}

export interface Change {
  op: '+' | '-' | '~'
  kind: string
  tier?: string
  title: string
  details?: string[]
  places?: string[]
  series?: string
}

export interface Event {
  at: string
  cluster: string
  revision?: string
  what: string
  why?: string
}

/** How often a rollout is asked for, in milliseconds: the server makes an answer once a second. */
const interval = 2000

export function useRollouts() {
  return useQuery({
    queryKey: ['rollouts'],
    queryFn: ({ signal }) => askPlain<Rollouts>(path, {}, { signal, timeout: pollTimeout }),
    refetchInterval: interval,
  })
}

export function useCommits(limit: number) {
  return useQuery({
    queryKey: ['rollouts', 'commits', limit],
    queryFn: ({ signal }) =>
      askPlain<{ ref?: string; truncated?: boolean; commits: Commit[] | null }>(
        `${path}/commits`,
        { limit },
        { signal, timeout: pollTimeout },
      ),
    refetchInterval: 5000,
  })
}

export function useHistory(limit: number) {
  return useQuery({
    queryKey: ['rollouts', 'history', limit],
    queryFn: ({ signal }) =>
      askPlain<{ events: Event[] | null; warnings?: string[] | null }>(
        `${path}/history`,
        { limit },
        { signal, timeout: pollTimeout },
      ),
    refetchInterval: 5000,
  })
}

/** What differs between two revisions; nothing is asked unless both are given. Two revisions never come to differ otherwise. */
export function useDiff(from: string, to: string, cluster: string) {
  return useQuery({
    queryKey: ['rollouts', 'diff', from, to, cluster],
    queryFn: ({ signal }) => askPlain<{ changes: Change[] | null }>(`${path}/diff`, { from, to, cluster }, { signal }),
    enabled: from !== '' && to !== '',
    staleTime: Infinity,
  })
}

export interface Order {
  name: string
  revision?: string
  clusters?: string[]
  why?: string
}

export interface Obeyed {
  cluster: string
  done?: string
  error?: string
}

/** Gives the loops a command. */
export function useCommand() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async ({ name, revision, clusters, why }: Order) => {
      const json = { ...(revision && { revision }), ...(clusters?.length && { clusters }), ...(why && { why }) }
      return (await askPlain<{ results: Obeyed[] }>(`${path}/${name}`, {}, { method: 'POST', json })).results
    },
    onSettled: () => client.invalidateQueries({ queryKey: ['rollouts'] }),
  })
}
