import { ask, prefix, encode as encodeParams, type Answer, type Params } from '../api/client.ts'
import { promDuration } from '../format/times.ts'
import type { Grid } from './aligned.ts'
import type { Result } from './results.ts'
import { stepOf } from './steps.ts'
import { optionParams, type Options } from '../api/options.ts'
import type { PanelState } from './urlstate.ts'

/** A query as it is sent. */
export interface Asked {
  path: '/api/v1/query' | '/api/v1/query_range'
  /** The expression with the scope's matchers. */
  expr: string
  params: Params
  /** The query's id, here and in all tiers below. */
  id: string
  /** Times in seconds; of an instant query start and end are the same, and step is 0. */
  grid: Grid
}

/** An id for a query: the tier takes it if no active query has it. */
export function newId(): string {
  return (
    'console-' + [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, '0')).join('')
  )
}

/** What a panel asks for, of an expression that has the scope already; now is milliseconds. */
export function request(p: PanelState, expr: string, o: Options, now: number, id: string = newId()): Asked {
  const end = Math.round(p.end ?? now) / 1000
  const options = { ...optionParams(o), stats: 'all' }
  if (p.tab !== 'graph')
    return {
      path: '/api/v1/query',
      expr,
      id,
      params: { query: expr, time: end, ...options },
      grid: { start: end, end, step: 0 },
    }
  const step = stepOf(p.resolution, p.range)
  const start = Math.round((end - p.range) * 1000) / 1000
  return {
    path: '/api/v1/query_range',
    expr,
    id,
    params: { query: expr, start, end, step, ...options },
    grid: { start, end, step },
  }
}

/** The address of the Why page for what was asked: of the same times, with the same options. */
export function whyAsked(a: Asked): string {
  const { query: _, stats: __, ...rest } = a.params
  return '/why?' + encodeParams({ expr: a.expr, ...rest })
}

/** The address of the Why page for what a panel would ask; now stays now. */
export function whyPanel(p: PanelState, expr: string, o: Options): string {
  const end = p.end === null ? undefined : p.end / 1000
  if (p.tab !== 'graph') return '/why?' + encodeParams({ expr, time: end, ...optionParams(o) })
  const start = end === undefined ? '-' + promDuration(p.range) : end - p.range
  return '/why?' + encodeParams({ expr, start, end, step: stepOf(p.resolution, p.range), ...optionParams(o) })
}

/** Asks. The answer's grid is that of the request, or the one that the tier aligned it to. */
export async function send(a: Asked, signal: AbortSignal): Promise<Answer<Result>> {
  return ask<Result>(a.path, a.params, { signal, headers: { 'X-Pando-Query-Id': a.id } })
}

/** Ends a query in this tier and all below; one that has ended already is no error. */
export async function cancel(id: string): Promise<void> {
  await ask('/pando/api/v1/queries/' + encodeURIComponent(id), {}, { method: 'DELETE' }).catch(() => undefined)
}

/** The times of an answer, in seconds: those asked for, unless the tier moved them. */
export function gridOf(a: Asked, r: Result | undefined): Grid {
  const moved = r?.stats?.pando?.aligned
  return moved ? { start: moved.start / 1000, end: moved.end / 1000, step: moved.step / 1000 } : a.grid
}

/** The request as a command for a shell. */
export function curl(a: Asked, origin: string): string {
  return `curl '${origin}${prefix}${a.path.slice(1)}?${encodeParams(a.params).replaceAll("'", '%27')}'`
}
