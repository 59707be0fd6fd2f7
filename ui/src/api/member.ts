import { useSearchParams } from 'react-router'
import type { Params } from './client.ts'

/** The path under which a member below answers: its own tier passes the request on. '' is the tier itself. */
export function memberPath(path: string, member: string): string {
  return member === '' ? path : '/pando/api/v1/below' + path
}

/** The parameters that go with memberPath. */
export function memberParams(params: Params, member: string): Params {
  return member === '' ? params : { ...params, member }
}

/** The member that the page is about, kept in the URL; '' is the tier that serves the console. */
export function useMember(): [string, (name: string) => void] {
  const [params, setParams] = useSearchParams()
  const set = (name: string) =>
    setParams((p) => {
      if (name) p.set('member', name)
      else p.delete('member')
      return p
    })
  return [params.get('member') ?? '', set]
}

export interface Target {
  discoveredLabels: Record<string, string>
  labels: Record<string, string>
  scrapePool: string
  scrapeUrl: string
  globalUrl: string
  lastError: string
  lastScrape: string
  /** Seconds. */
  lastScrapeDuration: number
  health: 'up' | 'down' | 'unknown'
  scrapeInterval: string
  scrapeTimeout: string
}

/** What /api/v1/targets answers of those that are scraped. */
export interface Targets {
  activeTargets: Target[] | null
}

export interface Alert {
  labels: Record<string, string>
  annotations: Record<string, string>
  state: 'firing' | 'pending' | 'inactive'
  activeAt: string
  value: string
}

export interface Rule {
  type: 'alerting' | 'recording'
  name: string
  query: string
  /** Seconds that an alert must hold. */
  duration?: number
  keepFiringFor?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  state?: Alert['state']
  alerts?: Alert[]
  health: 'ok' | 'err' | 'unknown'
  lastError?: string
  /** Seconds. */
  evaluationTime: number
  lastEvaluation: string
}

export interface RuleGroup {
  name: string
  file: string
  rules: Rule[]
  /** Seconds. */
  interval: number
  evaluationTime: number
  lastEvaluation: string
}

export interface HeadStats {
  numSeries: number
  numLabelPairs: number
  chunkCount: number
  minTime: number
  maxTime: number
}

export interface TSDBStatus {
  headStats: HeadStats
  seriesCountByMetricName: Counted[] | null
  labelValueCountByLabelName: Counted[] | null
  memoryInBytesByLabelName: Counted[] | null
  seriesCountByLabelValuePair: Counted[] | null
}

export interface Counted {
  name: string
  value: number
}
