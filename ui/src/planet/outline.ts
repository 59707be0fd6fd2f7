import type { Place } from './layout.ts'

/** A line of the list. */
export interface Item {
  id: string
  place: Place
  level: number
  /** Undefined of what has nothing below. */
  open: boolean | undefined
  /** Its number among its siblings, from 1, and how many these are. */
  position: number
  siblings: number
}

/** The lines of a tree of which some members are open; those that are searched for are listed with all above them. */
export function itemsOf(root: Place, open: ReadonlySet<string>, wanted?: (p: Place) => boolean): Item[] {
  const keep = wanted && kept(root, wanted)
  const out: Item[] = []
  const visit = (places: Place[], level: number) => {
    const shown = keep ? places.filter((p) => keep.has(p.id ?? '')) : places
    shown.forEach((p, i) => {
      const below = (p.children ?? []) as Place[]
      const isOpen = below.length > 0 ? open.has(p.id ?? '') || keep !== undefined : undefined
      out.push({ id: p.id ?? '', place: p, level, open: isOpen, position: i + 1, siblings: shown.length })
      if (isOpen) visit(below, level + 1)
    })
  }
  visit((root.children ?? [root]) as Place[], 1)
  return out
}

function kept(root: Place, wanted: (p: Place) => boolean): Set<string> {
  const out = new Set<string>()
  root.each((n) => {
    const p = n as Place
    if (!wanted(p)) return
    for (let at: Place | null = p; at && !out.has(at.id ?? ''); at = at.parent as Place | null) out.add(at.id ?? '')
  })
  return out
}

/** Where the focus goes from line i by a key; undefined if the key means nothing here. */
export function moved(items: Item[], i: number, key: string): { to: number } | { toggle: string } | undefined {
  const item = items[i]
  if (!item) return undefined
  switch (key) {
    case 'ArrowDown':
      return { to: Math.min(items.length - 1, i + 1) }
    case 'ArrowUp':
      return { to: Math.max(0, i - 1) }
    case 'Home':
      return { to: 0 }
    case 'End':
      return { to: items.length - 1 }
    case 'ArrowRight':
      if (item.open === false) return { toggle: item.id }
      return { to: item.open ? Math.min(items.length - 1, i + 1) : i }
    case 'ArrowLeft': {
      if (item.open) return { toggle: item.id }
      const above = items.slice(0, i).findLastIndex((other) => other.level < item.level)
      return { to: above < 0 ? i : above }
    }
    default:
      return undefined
  }
}
