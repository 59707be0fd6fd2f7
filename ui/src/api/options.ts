import { parseDuration } from '../format/times.ts'

/** How queries are asked: what none of a whole answer depends on, but for align. */
export interface Options {
  /** An error instead of a partial answer. */
  strict: boolean
  hints: boolean
  pushdown: boolean
  rollup: boolean
  cache: boolean
  align: boolean
  /** As PromQL writes durations; '' is the tier's own. */
  timeout: string
}

export const defaultOptions: Options = {
  strict: false,
  hints: true,
  pushdown: true,
  rollup: true,
  cache: true,
  align: false,
  timeout: '',
}

/** Reads options from parameters, of an address or of a request, with the API's names. */
export function readOptions(get: (name: string) => string | null | undefined): Options {
  const off = (name: string) => ['off', 'false', '0'].includes(get(name) ?? '')
  const on = (name: string) => ['on', 'true', '1'].includes(get(name) ?? '')
  const timeout = get('timeout') ?? ''
  return {
    strict: off('partial_response'),
    hints: !off('hints'),
    pushdown: !off('pushdown'),
    rollup: !off('rollup'),
    cache: !on('nocache'),
    align: on('align'),
    timeout: parseDuration(timeout) ? timeout : '',
  }
}

/** The parameters of a query's request that say how it is asked; those that are as usual are left out. */
export function optionParams(o: Options): Record<string, string> {
  const p: Record<string, string> = {}
  if (o.strict) p.partial_response = 'false'
  for (const name of ['hints', 'pushdown', 'rollup'] as const) if (!o[name]) p[name] = 'off'
  if (!o.cache) p.nocache = '1'
  if (o.align) p.align = 'on'
  if (o.timeout !== '') p.timeout = o.timeout
  return p
}

/** What is other than usual, in words; nothing if all is as usual. */
export function optionWords(o: Options): string[] {
  const words: [boolean, string][] = [
    [o.strict, 'partial answers refused'],
    [!o.hints, 'without field hints'],
    [!o.pushdown, 'without push-down'],
    [!o.rollup, 'without rollups'],
    [!o.cache, 'without the cache'],
    [o.align, 'aligned'],
    [o.timeout !== '', `timeout ${o.timeout}`],
  ]
  return words.filter(([said]) => said).map(([, word]) => word)
}
