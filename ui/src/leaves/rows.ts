import { short } from '../format/revisions.ts'
import { walk, type Tree, type TreeNode } from '../api/tree.ts'
import { duration } from '../format/numbers.ts'
import { gapsMatter, gapTime, hintMeans, hintWord, lagOf, standing, standings, type Standing } from './standing.ts'

/** What can be wrong with a leaf. */
export type Problem = 'missing' | 'dark' | 'late' | 'hint' | 'gaps' | 'version' | 'revision' | 'reload' | 'untold'

export const problemTitles: Record<Problem, { title: string; means: string }> = {
  missing: { title: 'missing', means: standings.missing.means },
  dark: { title: 'dark', means: standings.dark.means },
  late: { title: 'late', means: standings.late.means },
  hint: { title: 'hint unused', means: 'its field hint may not prune: it is asked in vain' },
  gaps: { title: 'gaps', means: 'it misses samples now, or missed a minute or more within the last day' },
  version: { title: 'other version', means: 'it runs another version than most' },
  revision: { title: 'other revision', means: 'its configuration is of another revision than that of most' },
  reload: { title: 'reload failed', means: 'it could not load its latest configuration, and runs an older one' },
  untold: {
    title: 'leaves unknown',
    means: 'a zone that is away or did not answer: the leaves below it are not listed',
  },
}

/** A leaf, or a zone whose leaves are not known. */
export interface Row {
  id: string
  node: TreeNode
  /** Names of the tiers between this one and the leaf. */
  path: string[]
  standing: Standing
  lag: number | undefined
  gaps: number
  hint: string
  problems: Problem[]
  /** What each problem is, in words. */
  why: string[]
}

/** All leaves of a tree with what is wrong with each, and what most of them run. */
export interface Leaves {
  rows: Row[]
  version: string
  revision: string
}

// Worst first: what of all problems is to be looked at before the others.
const ranks: Problem[] = ['missing', 'untold', 'dark', 'late', 'reload', 'hint', 'gaps', 'revision', 'version']

const rank = (r: Row) => r.problems.reduce((least, p) => Math.min(least, ranks.indexOf(p)), ranks.length)

/** Rows with the worst first; those of the same problem stay in their order. */
export function worstFirst(rows: Row[]): Row[] {
  return rows
    .map((row) => ({ row, rank: rank(row) }))
    .sort((a, b) => a.rank - b.rank)
    .map((r) => r.row)
}

/** Lists the leaves of a tree, and the zones below which leaves are not known, in the order of the tree. */
export function leafRows(tree: Tree): Leaves {
  const at = tree.at
  const found: { node: TreeNode; path: string[] }[] = []
  if (tree.self.tier === 'leaf') found.push({ node: tree.self, path: [] })
  walk(tree.children, (node, above) => {
    if (node.tier === 'leaf' || leavesUnknown(node)) found.push({ node, path: above.map((n) => n.name) })
  })
  const leaves = found.filter((f) => f.node.tier === 'leaf').map((f) => f.node)
  const version = most(leaves.map((n) => n.version ?? ''))
  const revision = most(leaves.map((n) => n.revision ?? ''))
  const rows = found.map(({ node, path }): Row => {
    const wrong = problemsOf(node, at, version, revision)
    return {
      id: [...path, node.name].join(' > '),
      node,
      path,
      standing: standing(node, at),
      lag: node.state === 'missing' ? undefined : lagOf(node, at),
      gaps: gapTime(node, at),
      hint: hintWord(node),
      problems: wrong.map((w) => w[0]),
      why: wrong.map((w) => w[1]),
    }
  })
  return { rows, version, revision }
}

/** Whether a zone's leaves are not in the tree although it may have some. */
export function leavesUnknown(n: TreeNode): boolean {
  return (
    n.tier !== 'leaf' && (n.state === 'missing' || (n.error !== undefined && n.error !== '' && !n.children?.length))
  )
}

function problemsOf(n: TreeNode, at: string | undefined, version: string, revision: string): [Problem, string][] {
  const out: [Problem, string][] = []
  if (n.state === 'missing') out.push(['missing', n.error || 'its connection ended; why is not known'])
  if (n.tier !== 'leaf') {
    out.push([
      'untold',
      n.error && n.state !== 'missing' ? `its leaves are not known: ${n.error}` : 'its leaves are not known',
    ])
    return out
  }
  const s = standing(n, at)
  if (s === 'dark' || s === 'late') out.push([s, `newest sample ${duration(lagOf(n, at))} old`])
  // Of a leaf that is away, the rest is what it was, and not what is to be mended.
  if (n.state === 'missing') return out
  if (n.error) out.push(['untold', n.error])
  if (n.hint && !n.hint.synced) out.push(['hint', `hint unused: ${hintMeans(hintWord(n))}`])
  if (gapsMatter(n, at)) out.push(['gaps', `gaps of ${duration(gapTime(n, at))}`])
  if (version !== '' && (n.version ?? '') !== version)
    out.push(['version', `version ${n.version || 'unknown'}, most run ${version}`])
  // One whose commit is not told may have no control loop, and nothing wrong.
  if (n.revision && n.revision !== revision)
    out.push(['revision', `revision ${short(n.revision)}, most run ${short(revision)}`])
  if (n.reloadFailed) out.push(['reload', 'its latest configuration could not be loaded'])
  return out
}

// The most frequent text that is not empty; '' if there is none.
function most(texts: string[]): string {
  const counts = new Map<string, number>()
  for (const t of texts) if (t !== '') counts.set(t, (counts.get(t) ?? 0) + 1)
  let best = ''
  for (const [t, n] of counts) if (n > (counts.get(best) ?? 0)) best = t
  return best
}

/** What rows can be narrowed to, with how many each has. */
export type View = 'all' | 'problems' | 'connected' | Problem

export function inView(r: Row, v: View): boolean {
  if (v === 'all') return true
  if (v === 'problems') return r.problems.length > 0
  if (v === 'connected') return r.node.state !== 'missing' && r.node.tier === 'leaf'
  return r.problems.includes(v)
}

/** Counts rows by view; views of problems that nobody has are left out. */
export function counts(rows: Row[]): Map<View, number> {
  const out = new Map<View, number>([
    ['all', rows.length],
    ['problems', 0],
    ['connected', 0],
  ])
  const add = (v: View) => out.set(v, (out.get(v) ?? 0) + 1)
  for (const r of rows) {
    if (inView(r, 'problems')) add('problems')
    if (inView(r, 'connected')) add('connected')
    for (const p of new Set(r.problems)) add(p)
  }
  return out
}

/** Reads a view from a URL. */
export function viewOf(text: string | null): View {
  if (text === 'problems' || text === 'connected' || (text !== null && text in problemTitles)) return text as View
  return 'all'
}
