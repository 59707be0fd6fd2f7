import type { Tree, TreeNode } from '../api/tree.ts'
import { count, whole } from '../format/numbers.ts'
import type { Class, Colouring } from './colouring.ts'
import { shortName, type Box, type Cell, type Layout } from './layout.ts'

/** The members of a tree by id, as they are now. */
export interface Live {
  nodes: Map<string, TreeNode>
  /** The same as long as nobody came or left. */
  signature: string
}

/** Lists all members of a tree; ids are those of placesOf. */
export function liveOf(tree: Tree): Live {
  const nodes = new Map<string, TreeNode>([['', tree.self]])
  const names: string[] = []
  const visit = (list: TreeNode[], above: string) => {
    for (const n of list) {
      const id = above ? above + ' > ' + n.name : n.name
      nodes.set(id, n)
      names.push(id, n.tier)
      if (n.children) visit(n.children, id)
    }
  }
  visit(tree.children, '')
  return { nodes, signature: names.join('\n') }
}

/** How a layout looks: what only depends on who is where is in the layout. */
export interface Look {
  classes: Class[]
  /** The index of each cell's class. */
  cellClass: Uint8Array
  /** The cells of each class, and those of them that are to be shown faintly: they are not what is searched for. */
  groups: { bright: Cell[]; faint: Cell[] }[]
  /** Whether each cell is to be shown faintly. */
  faint: Uint8Array | undefined
  /** How many cells have each class, and how many are not faint. */
  counts: number[]
  found: number
  /** What is written at the top, where all lines start. */
  root: { title: string; detail: string }
  /** What the titles of boxes say, and their own class. */
  boxes: {
    titles: string[]
    details: string[]
    away: boolean
    alarm: boolean
    class: Class | undefined
    note: string
  }[]
  /** The width of each segment in pixels, and whether what it leads to is away. */
  segments: { width: number; away: boolean }[]
  /** What the widest line stands for. */
  widest: number
  text: (cell: Cell) => string
  name: (cell: Cell) => string
}

const thickest = 9
const thinnest = 1.5

/** Computes how a layout looks. shown tells which members are searched for; undefined is all. */
export function lookOf(
  l: Layout,
  live: Live,
  c: Colouring,
  shown: ((n: TreeNode, path: string[]) => boolean) | undefined,
  only = '',
): Look {
  const index = new Map(c.classes.map((k, i) => [k.id, i]))
  const cellClass = new Uint8Array(l.cells.length)
  const faint = shown || only ? new Uint8Array(l.cells.length) : undefined
  const counts = c.classes.map(() => 0)
  const groups = c.classes.map((): Look['groups'][number] => ({ bright: [], faint: [] }))
  let found = 0
  const node = (id: string, fallback: TreeNode) => live.nodes.get(id) ?? fallback
  l.cells.forEach((cell, i) => {
    const n = node(cell.id, cell.place.data)
    const id = c.of(n, cell.id)
    const k = index.get(id) ?? 0
    cellClass[i] = k
    counts[k] = (counts[k] ?? 0) + 1
    const matches = (!shown || shown(n, cell.id.split(' > ').slice(0, -1))) && (only === '' || only === id)
    if (matches) found++
    if (faint) faint[i] = matches ? 0 : 1
    groups[k]?.[faint && !matches ? 'faint' : 'bright'].push(cell)
  })
  const summaries = l.boxes.map((b) => summary(b, node(b.id, b.place.data), l, c, cellClass))
  const weights = l.boxes.map((b) => (b.place === l.root.place ? 0 : c.width(node(b.id, b.place.data), b.id)))
  const shared = l.segments.filter((s) => !s.end).map((s) => s.boxes.reduce((a, b) => a + (weights[b] ?? 0), 0))
  const widest = Math.max(0, ...shared)
  const segments = l.segments.map((s) => {
    const sum = s.boxes.reduce((a, b) => a + (weights[b] ?? 0), 0)
    const away = s.boxes.every((b) => node((l.boxes[b] as Box).id, (l.boxes[b] as Box).place.data).state === 'missing')
    return { width: widest > 0 ? thinnest + ((thickest - thinnest) * sum) / widest : thinnest, away }
  })
  return {
    classes: c.classes,
    cellClass,
    groups,
    faint,
    counts,
    found,
    root: rootText(node(l.root.place.id ?? '', l.root.place.data)),
    boxes: summaries,
    segments,
    widest,
    text: (cell) => c.text(node(cell.id, cell.place.data), cell.id),
    name: (cell) => shortName(cell.place),
  }
}

function rootText(n: TreeNode): Look['root'] {
  const title = n.name === n.tier ? n.name : `${n.tier} ${n.name}`
  const leaves = n.leaves === 1 ? '1 leaf' : `${whole(n.leaves)} leaves`
  return { title, detail: `${leaves} connected · ${count(n.series)} series` }
}

function summary(b: Box, n: TreeNode, l: Layout, c: Colouring, cellClass: Uint8Array): Look['boxes'][number] {
  const counts = new Map<Class, number>()
  for (let i = b.first; i < b.first + b.count; i++) {
    const k = c.classes[cellClass[i] ?? 0]
    if (k?.alarming) counts.set(k, (counts.get(k) ?? 0) + 1)
  }
  const alarms = [...counts].map(([k, m]) => `${whole(m)} ${k.title}`)
  const own = b.place !== l.root.place ? c.classes.find((k) => k.id === c.of(n, b.id)) : undefined
  const away = n.state === 'missing'
  const top = b.place === l.root.place
  const bad = [...counts.values()].reduce((a, m) => a + m, 0)
  const size = away ? 'missing' : b.count > 0 ? whole(b.count) : ''
  const silent = !away && n.tier !== 'leaf' && !top && n.error !== undefined && n.error !== ''
  return {
    titles: top ? [n.tier === 'leaf' ? n.name : 'directly below'] : [n.name, shortName(b.place)],
    details: [[size, ...alarms].filter((t) => t !== '').join(' · '), bad > 0 ? `${size} · ${whole(bad)} ⚠` : size],
    away,
    alarm: away || silent || bad > 0,
    class: own,
    note:
      b.count > 0 || (b.place.children?.length ?? 0) > 0
        ? ''
        : away
          ? 'its leaves are not known'
          : n.error
            ? n.error
            : 'no leaves',
  }
}
