import { useQueries } from '@tanstack/react-query'
import { useMemo } from 'react'
import { ask } from '../api/client.ts'
import type { Metadata } from './completion.ts'
import { familyOf, metadataOf, type MetricRow } from './metrics.ts'
import type { Unit } from './unittext.ts'
import { useLanguage } from './useLanguage.ts'

/** What an expression's values are in, and what is known of its metrics. */
export interface Meaning {
  unit: Unit
  /** Those that something is known of. */
  metrics: MetricRow[]
}

/** Of so many metrics of an expression metadata is asked for. */
const mostMetrics = 8
// What a metric means does not change while people look at it; it is forgotten some time after.
const kept = { staleTime: Infinity, gcTime: 30 * 60_000, retry: false } as const

/** The names under which the metadata of metrics may be found. */
export function families(metrics: string[]): string[] {
  return [...new Set(metrics.slice(0, mostMetrics).flatMap((m) => [m, familyOf(m)]))]
}

type Answers = { data?: Record<string, Metadata[]> | undefined }[]

// Stable, so that answers are put together only when one has come.
const joined = (answers: Answers): Record<string, Metadata[]> => Object.assign({}, ...answers.map((a) => a.data ?? {}))

/**
 * What an expression means: by the metadata of its metrics, asked once for each, and by their names until that has come, and
 * where there is none. observed says that what histograms observe is shown, and not their counts.
 */
export function useMeaning(expr: string, observed: boolean): Meaning {
  const lang = useLanguage()
  const names = useMemo(() => lang?.metricsOf(expr) ?? [], [lang, expr])
  const all = useQueries({
    queries: families(names).map((metric) => ({
      ...kept,
      queryKey: ['metadata', metric],
      queryFn: async ({ signal }: { signal: AbortSignal }) =>
        (await ask<Record<string, Metadata[]>>('/api/v1/metadata', { metric, limit_per_metric: 10 }, { signal })).data,
    })),
    combine: joined,
  })
  return useMemo(() => {
    const told = (metric: string) => metadataOf(metric, all).unit
    const unit = (observed ? lang?.unitOfBuckets(expr, told) : lang?.unitOf(expr, told)) ?? ''
    const metrics = names.map((name) => ({ name, ...metadataOf(name, all) })).filter((m) => m.type || m.help)
    return { unit, metrics }
  }, [lang, expr, observed, names, all])
}
