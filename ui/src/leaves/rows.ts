import { short } from '../format/revisions.ts'
import type { Tree, TreeNode } from '../api/tree.ts'
import { duration } from '../format/numbers.ts'
import { gapsMatter, gapTime, hintMeans, hintWord, lagOf, standingAt, standings, type Standing } from './standing.ts'

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
  const found: Found[] = []
  if (tree.self.tier === 'leaf') found.push({ node: tree.self, path: [], above: '' })
  collect(tree.children, [], '', found)
  const version = most(found, (n) => n.version)
  const revision = most(found, (n) => n.revision)
  const rows = found.map((f) => rowOf(f, tree.at, version, revision))
  return { rows, version, revision }
}

interface Found {
  node: TreeNode
  path: string[]
  /** The path as ids have it. */
  above: string
}

// The members of a zone share its path.
function collect(nodes: TreeNode[], path: string[], above: string, found: Found[]): void {
  for (const node of nodes) {
    if (node.tier === 'leaf' || leavesUnknown(node)) found.push({ node, path, above })
    if (node.children) collect(node.children, [...path, node.name], above + node.name + ' > ', found)
  }
}

function rowOf({ node, path, above }: Found, at: string | undefined, version: string, revision: string): Row {
  const lag = lagOf(node, at)
  const row: Row = {
    id: above + node.name,
    node,
    path,
    standing: node.state === 'missing' ? 'missing' : standingAt(lag),
    lag: node.state === 'missing' ? undefined : lag,
    gaps: gapTime(node, at),
    hint: hintWord(node),
    problems: [],
    why: [],
  }
  for (const [problem, why] of problemsOf(row, lag, at, version, revision)) {
    row.problems.push(problem)
    row.why.push(why)
  }
  return row
}

/** Whether a zone's leaves are not in the tree although it may have some. */
export function leavesUnknown(n: TreeNode): boolean {
  return (
    n.tier !== 'leaf' && (n.state === 'missing' || (n.error !== undefined && n.error !== '' && !n.children?.length))
  )
}

function problemsOf(
  { node: n, standing: s, gaps, hint }: Row,
  lag: number | undefined,
  at: string | undefined,
  version: string,
  revision: string,
): [Problem, string][] {
  const out: [Problem, string][] = []
  if (n.state === 'missing') out.push(['missing', n.error || 'its connection ended; why is not known'])
  if (n.tier !== 'leaf') {
    out.push([
      'untold',
      n.error && n.state !== 'missing' ? `its leaves are not known: ${n.error}` : 'its leaves are not known',
    ])
    return out
  }
  if (s === 'dark' || s === 'late') out.push([s, `newest sample ${duration(lag)} old`])
  // Of a leaf that is away, the rest is what it was, and not what is to be mended.
  if (n.state === 'missing') return out
  if (n.error) out.push(['untold', n.error])
  if (n.hint && !n.hint.synced) out.push(['hint', `hint unused: ${hintMeans(hint)}`])
  if (gapsMatter(n, at)) out.push(['gaps', `gaps of ${duration(gaps)}`])
  if (version !== '' && (n.version ?? '') !== version)
    out.push(['version', `version ${n.version || 'unknown'}, most run ${version}`])
  // One whose commit is not told may have no control loop, and nothing wrong.
  if (n.revision && n.revision !== revision)
    out.push(['revision', `revision ${short(n.revision)}, most run ${short(revision)}`])
  if (n.reloadFailed) out.push(['reload', 'its latest configuration could not be loaded'])
  return out
}

// The most frequent text of leaves that is not empty; '' if there is none.
function most(found: Found[], of: (n: TreeNode) => string | undefined): string {
  const counts = new Map<string, number>()
  for (const { node } of found) {
    const text = node.tier === 'leaf' && of(node)
    if (text) counts.set(text, (counts.get(text) ?? 0) + 1)
  }
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
    if (r.problems.length > 0) for (const p of new Set(r.problems)) add(p)
  }
  return out
}

/** Reads a view from a URL. */
export function viewOf(text: string | null): View {
  if (text === 'problems' || text === 'connected' || (text !== null && text in problemTitles)) return text as View
  return 'all'
}
