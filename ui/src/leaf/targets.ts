/** What the page needs of a target, as /api/v1/targets tells it. */
export interface Target {
  scrapePool: string
  scrapeUrl: string
  labels: Record<string, string>
  health: 'up' | 'down' | 'unknown'
  lastError: string
  lastScrape: string
  /** Seconds. */
  lastScrapeDuration: number
}

/** Targets of one pool. */
export interface Pool {
  name: string
  up: number
  down: number
  unknown: number
}

/** Counts targets by pool; pools with targets that are down come first. */
export function pools(targets: Target[]): Pool[] {
  const by = new Map<string, Pool>()
  for (const t of targets) {
    const p = by.get(t.scrapePool) ?? { name: t.scrapePool, up: 0, down: 0, unknown: 0 }
    p[t.health]++
    by.set(t.scrapePool, p)
  }
  return [...by.values()].sort((a, b) => b.down - a.down || b.unknown - a.unknown || (a.name < b.name ? -1 : 1))
}

const severity = { down: 0, unknown: 1, up: 2 }

/** Targets with those that fail first, then those not scraped yet; each kind by pool. */
export function failingFirst(targets: Target[]): Target[] {
  return [...targets].sort(
    (a, b) =>
      severity[a.health] - severity[b.health] ||
      (a.scrapePool < b.scrapePool ? -1 : a.scrapePool > b.scrapePool ? 1 : 0),
  )
}

/** What the page needs of a rule and its group, as /api/v1/rules tells it. */
export interface Rule {
  name: string
  type: 'alerting' | 'recording'
  health: 'ok' | 'err' | 'unknown'
  lastError?: string
  state?: 'inactive' | 'pending' | 'firing'
  alerts?: unknown[]
}

export interface RuleGroup {
  name: string
  rules: Rule[]
}

/** Sums over all rules of a member. */
export interface RuleSums {
  groups: number
  recording: number
  alerting: number
  firing: Rule[]
  pending: Rule[]
  failing: Rule[]
}

export function ruleSums(groups: RuleGroup[]): RuleSums {
  const rules = groups.flatMap((g) => g.rules)
  return {
    groups: groups.length,
    recording: rules.filter((r) => r.type === 'recording').length,
    alerting: rules.filter((r) => r.type === 'alerting').length,
    firing: rules.filter((r) => r.state === 'firing'),
    pending: rules.filter((r) => r.state === 'pending'),
    failing: rules.filter((r) => r.health === 'err'),
  }
}

/** The selector of all that a member holds: its identity labels as matchers. */
export function identityMatchers(labels: Record<string, string> | undefined): string {
  return Object.entries(labels ?? {})
    .sort()
    .map(([k, v]) => `${/^[a-zA-Z_]\w*$/.test(k) ? k : JSON.stringify(k)}=${JSON.stringify(v)}`)
    .join(', ')
}
