import type { Alert, Rule, RuleGroup } from '../api/member.ts'

/** One series of an instant vector. */
export interface Sample {
  metric: Record<string, string>
  value: [number, string]
}

/** An alert of any tier, as its ALERTS series tells. */
export interface PlanetAlert {
  key: string
  name: string
  state: 'firing' | 'pending'
  labels: Record<string, string>
  /** Milliseconds since the epoch; undefined if no tier tells. */
  activeAt?: number
}

// Which alert a series is about: its labels but those of the series' own.
function identity(metric: Record<string, string>): string {
  return JSON.stringify(
    Object.entries(metric)
      .filter(([k]) => k !== '__name__' && k !== 'alertstate')
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
}

/** Joins ALERTS with ALERTS_FOR_STATE, which has since when each is active. Firing ones first, then the newest. */
export function planetAlerts(alerts: Sample[], since: Sample[]): PlanetAlert[] {
  const begun = new Map(since.map((s) => [identity(s.metric), Number(s.value[1]) * 1000]))
  return alerts
    .map((s): PlanetAlert => {
      const { __name__: _, alertname = '', alertstate, ...labels } = s.metric
      const activeAt = begun.get(identity(s.metric))
      return {
        key: JSON.stringify(s.metric),
        name: alertname,
        state: alertstate === 'firing' ? 'firing' : 'pending',
        labels,
        ...(activeAt !== undefined && { activeAt }),
      }
    })
    .toSorted((a, b) =>
      a.state === b.state
        ? (b.activeAt ?? 0) - (a.activeAt ?? 0) || a.name.localeCompare(b.name)
        : a.state === 'firing'
          ? -1
          : 1,
    )
}

/** The alerting rules of groups that match a text, firing ones first. */
export function alertingRules(groups: RuleGroup[], text: string): { group: string; rule: Rule; alerts: Alert[] }[] {
  const wanted = text.trim().toLowerCase()
  const rank = (r: Rule) => (r.state === 'firing' ? 0 : r.state === 'pending' ? 1 : 2)
  return groups
    .flatMap((g) =>
      g.rules.filter((r) => r.type === 'alerting').map((rule) => ({ group: g.name, rule, alerts: rule.alerts ?? [] })),
    )
    .filter(
      ({ rule, alerts }) =>
        wanted === '' ||
        (
          rule.name +
          ' ' +
          rule.query +
          ' ' +
          JSON.stringify(rule.labels ?? {}) +
          JSON.stringify(alerts.map((a) => a.labels))
        )
          .toLowerCase()
          .includes(wanted),
    )
    .toSorted((a, b) => rank(a.rule) - rank(b.rule) || a.rule.name.localeCompare(b.rule.name))
}
