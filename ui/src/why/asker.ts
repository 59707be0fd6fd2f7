import { ask, type Params } from '../api/client.ts'
import { numeric } from '../format/numbers.ts'
import { parseMissing } from '../api/stats.ts'
import { mostValues, type Asker } from './funnel.ts'
import type { Result } from './audit.ts'
import type { Selector } from './selectors.ts'
import { title } from './words.ts'

/** The children that warnings tell of as missing. */
export function missingNames(warnings: string[]): string[] {
  return warnings.flatMap((w) => {
    const m = parseMissing(w)
    return m ? [title(m.tier, m.name)] : []
  })
}

// The times, in seconds, that a selector reads at a moment, and back before that.
function bounds(s: Selector, end: number, back: number) {
  const to = (s.at === undefined ? end : s.at / 1000) - s.offset / 1000
  return { start: to - (s.window + back) / 1000, end: to }
}

/** Asks this tier as of a moment, in seconds since the epoch; options are those of its queries. */
export function asker(end: number, options: Params, signal: AbortSignal): Asker {
  const names = async (path: string, match: string, s: Selector) => {
    const answer = await ask<string[]>(path, { 'match[]': match, limit: mostValues, ...bounds(s, end, 0) }, { signal })
    return { names: answer.data, missing: missingNames(answer.warnings) }
  }
  return {
    count: async (expr) => {
      const { data, warnings } = await ask<Result>('/api/v1/query', { ...options, query: expr, time: end }, { signal })
      const first = data.resultType === 'vector' ? data.result[0]?.value : undefined
      return { value: first ? numeric(first[1]) : 0, missing: missingNames(warnings) }
    },
    values: (label, match, s) => names(`/api/v1/label/${encodeURIComponent(label)}/values`, match, s),
    labels: (match, s) => names('/api/v1/labels', match, s),
    any: async (match, s, back) => {
      const answer = await ask<unknown[]>(
        '/api/v1/series',
        { 'match[]': match, limit: 1, ...bounds(s, end, back) },
        { signal },
      )
      return { found: answer.data.length > 0, missing: missingNames(answer.warnings) }
    },
  }
}
