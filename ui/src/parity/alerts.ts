import type { Alert, Rule, RuleGroup } from '../api/member.ts'
import { walk, type Tree, type TreeNode } from '../api/tree.ts'

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

// Which alert a series is about: its labels but those of the series' own, and whether a leaf or which tier evaluates it, which is
// what precedes ALERTS in its name.
function identity(metric: Record<string, string>): string {
  return JSON.stringify([
    /^(\w+):ALERTS/.exec(metric.__name__ ?? '')?.[1] ?? '',
    Object.entries(metric)
      .filter(([k]) => k !== '__name__' && k !== 'alertstate')
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ])
}

/** The alerts that a tier above leaves evaluates itself, as its own API tells. */
export interface TierAlerts {
  node: Pick<TreeNode, 'tier' | 'labels'>
  alerts: Alert[]
}

/**
 * Since when alerts of zones and the root are active, in the form of ALERTS_FOR_STATE: these have no such series that is found from
 * elsewhere. Their series have the tier's labels beside those of the alert.
 */
export function tierSince(told: TierAlerts[]): Sample[] {
  return told.flatMap(({ node, alerts }) =>
    alerts.map((a): Sample => ({
      metric: { ...a.labels, ...node.labels, __name__: `${node.tier}:ALERTS_FOR_STATE` },
      value: [0, String(Date.parse(a.activeAt) / 1000)],
    })),
  )
}

// More are not asked: it would be many requests every few seconds.
const mostTiers = 60

/** The tiers that can tell since when alerts of zones and the root are active; '' is the tier itself. None if there are no such alerts. */
export function tiersToAsk(alerts: Sample[], tree: Tree): { member: string; node: TreeNode }[] {
  const kinds = new Set(alerts.map((s) => /^(\w+):ALERTS$/.exec(s.metric.__name__ ?? '')?.[1]))
  const out: { member: string; node: TreeNode }[] = []
  if (kinds.has(tree.self.tier)) out.push({ member: '', node: tree.self })
  walk(tree.children, (node) => {
    if (kinds.has(node.tier) && node.state === 'connected') out.push({ member: node.name, node })
  })
  return out.slice(0, mostTiers)
}

/** Joins ALERTS with ALERTS_FOR_STATE, which has since when each is active: of several replicas the earliest. Firing ones first, then the newest. */
export function planetAlerts(alerts: Sample[], since: Sample[]): PlanetAlert[] {
  const begun = new Map<string, number>()
  for (const s of since) {
    const [key, at] = [identity(s.metric), Number(s.value[1]) * 1000]
    if (Number.isFinite(at)) begun.set(key, Math.min(at, begun.get(key) ?? at))
  }
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
