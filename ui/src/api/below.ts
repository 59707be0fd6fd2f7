import { useQuery } from '@tanstack/react-query'
import { ApiError, ask, askPlain, belowTimeout, type Params } from './client.ts'
import { memberParams, memberPath } from './member.ts'

interface Options {
  params?: Params
  /** Milliseconds after which it is asked for anew; never without it. */
  every?: number
  /** The answer has no envelope. */
  plain?: boolean
  enabled?: boolean
}

/** A part of the own API of a member below; '' is the tier that serves the console. See "below" in docs/api.md. */
export function useBelow<T>(member: string, path: string, { params = {}, every, plain, enabled = true }: Options = {}) {
  return useQuery({
    queryKey: ['below', member, path, params],
    queryFn: async ({ signal }) => {
      const to = memberPath('/' + path, member)
      const all = memberParams(params, member)
      const o = { signal, timeout: belowTimeout }
      return plain ? askPlain<T>(to, all, o) : (await ask<T>(to, all, o)).data
    },
    enabled,
    ...(every && { refetchInterval: every }),
  })
}

/** Why a member's own API cannot be read, for people; undefined if the error is of another kind. */
export function unreadable(e: unknown): string | undefined {
  if (!(e instanceof ApiError)) return undefined
  const at = (e.body as { data?: { at?: string; member?: string } } | undefined)?.data
  const who = at?.member ?? 'the member'
  switch (e.type) {
    case 'member_refuses':
      return `${who} does not let tiers above read its status: it was started with --no-web.status-to-parents. Its own console shows it.`
    case 'member_unknown':
      return 'There is no such member below this tier: it was forgotten, or was never here.'
    case 'member_too_old':
      return `${who} runs a version that does not answer tiers above. Upgrade it, or open its own console.`
    case 'member_missing':
      return `${who} is not connected. It can be read once it is back.`
    case 'member_too_large':
      return `The answer is larger than a tier passes on.`
    case 'member_failed':
      return `The connection to ${who} broke, or its answer cannot be understood.`
    case 'member_slow':
      return `${who} did not answer in time.`
    case 'busy':
      return 'A tier on the way has too many of these requests; this is asked again.'
    case 'path_not_allowed':
      return 'The member does not pass this on to tiers above.'
    default:
      // A tier without the endpoint answers with a page, or that it knows no such path.
      return e.status === 404 && e.type !== 'not_found'
        ? 'This tier is of a version that cannot ask members for their status. Upgrade it, or open the member’s own console.'
        : undefined
  }
}
