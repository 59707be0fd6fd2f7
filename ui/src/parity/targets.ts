import type { Target } from '../api/member.ts'

/** Targets of one scrape pool: those that a filter leaves, and how many of all there are up. */
export interface Pool {
  name: string
  targets: Target[]
  up: number
  of: number
}

export type HealthFilter = 'all' | 'up' | 'down' | 'unknown'

/** Groups targets by pool, failing pools first and failing targets first within; text is looked for in labels, URL and error. */
export function pools(targets: Target[], text: string, health: HealthFilter): Pool[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const byName = new Map<string, Target[]>()
  const sums = new Map<string, { up: number; of: number }>()
  for (const t of targets) {
    const sum = sums.get(t.scrapePool) ?? { up: 0, of: 0 }
    sums.set(t.scrapePool, { up: sum.up + Number(t.health === 'up'), of: sum.of + 1 })
    if (health !== 'all' && t.health !== health) continue
    const hay = [t.scrapeUrl, t.lastError, t.scrapePool, ...Object.entries(t.labels).map(([k, v]) => `${k}=${v}`)]
      .join(' ')
      .toLowerCase()
    if (!words.every((w) => hay.includes(w))) continue
    const list = byName.get(t.scrapePool)
    if (list) list.push(t)
    else byName.set(t.scrapePool, [t])
  }
  const rank = (t: Target) => (t.health === 'down' ? 0 : t.health === 'unknown' ? 1 : 2)
  return [...byName]
    .map(([name, list]) => ({
      name,
      targets: list.toSorted((a, b) => rank(a) - rank(b) || a.scrapeUrl.localeCompare(b.scrapeUrl)),
      up: sums.get(name)?.up ?? 0,
      of: sums.get(name)?.of ?? 0,
    }))
    .toSorted((a, b) => Number(a.up === a.of) - Number(b.up === b.of) || a.name.localeCompare(b.name))
}
