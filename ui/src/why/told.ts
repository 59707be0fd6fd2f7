import type { Explained, Explanation, PathStep } from '../api/explain.ts'
import type { QueryRecord, QueryRow } from '../api/queries.ts'
import {
  missingOf,
  type CacheUse,
  type ChildRow,
  type Completeness,
  type FailedChild,
  type QueryStats,
} from '../api/stats.ts'
import { rowsOf } from './coverage.ts'
import { optionsOf, type Asked } from './params.ts'

/** All that is told of a query, planned, analysed or past, in one form. Times are seconds. */
export interface Told {
  id: string
  asked: Asked
  evaluated: boolean
  explanation?: Explanation | undefined
  path: PathStep[]
  stats?: Completeness | undefined
  cache?: CacheUse | undefined
  rows: ChildRow[]
  missing: (FailedChild & { tier: string })[]
  /** Warnings and infos that do not tell of a missing child. */
  notes: string[]
  series?: number | undefined
  samples?: number | undefined
  total?: number | undefined
  queued?: number | undefined
  planned?: number | undefined
  /** Pruned children that have no rows. */
  pruned?: Completeness['pruned'] | undefined
  /** Why less is told than could be. */
  cut?: string | undefined
  /** As it came, for download. */
  json: unknown
}

function failedRows(rows: ChildRow[]): (FailedChild & { tier: string })[] {
  return rows
    .filter((r) => r.failed)
    .map((r) => ({ name: r.name, tier: r.tier, reason: r.failed ?? '', late: !!r.late }))
}

/** What an answer of explain or analyze tells. */
export function toldNow(
  a: Explained<QueryStats>,
  asked: Asked,
  evaluated: boolean,
  warnings: string[],
  infos: string[],
): Told {
  const stats = a.stats?.pando
  const rows = stats?.children ?? rowsOf(a.explanation)
  const x = a.explanation ?? undefined
  return {
    id: evaluated ? a.id : '',
    asked,
    evaluated,
    explanation: x,
    path: a.criticalPath ?? [],
    stats,
    cache: a.stats?.cache,
    rows,
    missing: evaluated ? missingOf(stats, warnings) : failedRows(rows),
    notes: [...warnings.filter((w) => !w.startsWith('partial answer:')), ...infos],
    series: evaluated ? a.series : undefined,
    samples: evaluated ? a.samples : undefined,
    total: stats?.total ?? (x?.totalNs === undefined ? undefined : x.totalNs / 1e9),
    queued: stats?.queued,
    planned: stats?.planned,
    cut: x?.truncated ? `The explanation is cut short: ${x.truncated}` : undefined,
    json: a,
  }
}

/** What a past query asked. One that was refused before its times were known stands for the moment it came. */
export function askedOf(q: QueryRow): Asked {
  const seconds = (t: string | undefined) => Date.parse(t ?? q.begun) / 1000
  return { expr: q.query, start: seconds(q.start), end: seconds(q.end), step: q.step, options: optionsOf(q) }
}

/** What the record of a past query tells. */
export function toldPast(r: QueryRecord): Told {
  const c = r.completeness
  const x = r.explanation
  const rows = c?.children?.length ? c.children : rowsOf(x)
  return {
    id: r.id,
    asked: askedOf(r),
    evaluated: true,
    explanation: x,
    path: r.criticalPath ?? [],
    stats: c,
    rows,
    missing: missingOf(c, []),
    notes: [],
    series: r.series,
    samples: r.samples,
    total: r.duration,
    queued: r.queued,
    planned: x?.plannedNs === undefined ? undefined : x.plannedNs / 1e9,
    pruned:
      r.pruned > 0 && (rows.length > 0 || r.asked === 0) && rows.every((c) => c.verdict === 'asked')
        ? c?.pruned
        : undefined,
    cut: cutOf(r, rows),
    json: r,
  }
}

function cutOf(r: QueryRecord, rows: ChildRow[]): string | undefined {
  if (rows.length === 0 && r.asked > 0)
    return `Of its ${r.asked + r.pruned} children only the counts are kept: ${r.asked} asked, ${r.pruned} pruned, ${r.failed} failed.`
  return undefined
}
