/** How many letters must be changed, added, dropped or swapped to get from a to b; more than most is most + 1. */
export function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    let least = i
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let d = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, (before[j - 2] ?? 0) + 1)
      next.push(d)
      least = Math.min(least, d)
    }
    if (least > most) return most + 1
    before = row
    row = next
  }
  return Math.min(row[b.length] ?? 0, most + 1)
}

/** The values most like the one wanted, likest first; values that have nothing to do with it are left out. */
export function nearest(wanted: string, values: string[], most: number): string[] {
  const w = wanted.toLowerCase()
  const far = Math.max(2, Math.ceil(w.length / 3))
  const parts = w.split(/[^a-z0-9]+/).filter((p) => p.length > 2)
  const scored: { v: string; score: number }[] = []
  for (const v of values) {
    const l = v.toLowerCase()
    const score = rank(w, l, far, parts)
    if (score !== undefined) scored.push({ v, score })
  }
  scored.sort((a, b) => a.score - b.score || a.v.length - b.v.length || (a.v < b.v ? -1 : 1))
  return scored.slice(0, most).map((s) => s.v)
}

function rank(w: string, l: string, far: number, parts: string[]): number | undefined {
  if (l === w) return 0
  const d = distance(w, l, far)
  if (d <= far) return d
  if (w !== '' && l !== '' && (l.startsWith(w) || w.startsWith(l))) return far + 1
  if (w.length > 2 && l.includes(w)) return far + 2
  const shared = parts.filter((p) => l.includes(p)).length
  return shared * 2 > parts.length ? far + 3 + parts.length - shared : undefined
}
