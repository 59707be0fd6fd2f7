import { walk, type Tree } from '../api/tree.ts'
import type { Scope } from './urlstate.ts'

const known = ['zone', 'cluster']

/**
 * The identity labels of the tree with their values: zone and cluster first.
 * Labels whose values all members share are left out, since they restrict
 * nothing; values of a label stay if they do not contradict what is chosen of others.
 */
export function choices(tree: Tree | undefined, scope: Scope): { name: string; values: string[] }[] {
  const by = new Map<string, Set<string>>()
  const all = new Map<string, Set<string>>()
  const add = (m: Map<string, Set<string>>, k: string, v: string) =>
    void (m.get(k) ?? m.set(k, new Set()).get(k))?.add(v)
  if (tree)
    walk(tree.children, (n) => {
      for (const [k, v] of Object.entries(n.labels ?? {})) {
        add(all, k, v)
        const fits = Object.entries(scope).every(
          ([name, chosen]) =>
            name === k || chosen.length === 0 || n.labels?.[name] === undefined || chosen.includes(n.labels[name]),
        )
        if (fits) add(by, k, v)
      }
    })
  // What an address restricts is shown, also if the tree does not have it now.
  for (const [k, values] of Object.entries(scope)) for (const v of values) add(by, k, v)
  return [...by]
    .filter(([k]) => (all.get(k)?.size ?? 0) > 1 || (scope[k]?.length ?? 0) > 0)
    .map(([name, values]) => ({
      name,
      values: [...values].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })),
    }))
    .sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name))
}

function rank(name: string): number {
  const i = known.indexOf(name)
  return i < 0 ? known.length : i
}
