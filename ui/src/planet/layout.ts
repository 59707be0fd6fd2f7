import { hierarchy, type HierarchyNode } from 'd3-hierarchy'
import type { Tree, TreeNode } from '../api/tree.ts'

/** A member where it stands in the tree. Its id is made of the names from the tier that answers down to it. */
export type Place = HierarchyNode<TreeNode> & { id?: string }

/** How leaves are drawn: as cards with two lines, with one, or as dots; sizes in pixels. */
export interface Style {
  kind: 'card' | 'chip' | 'dot'
  w: number
  h: number
  gap: number
}

// Largest first: the first that fits is taken.
const styles: Style[] = [
  { kind: 'card', w: 168, h: 46, gap: 8 },
  { kind: 'card', w: 132, h: 42, gap: 6 },
  { kind: 'chip', w: 84, h: 20, gap: 4 },
  { kind: 'chip', w: 64, h: 18, gap: 3 },
  ...[20, 16, 13, 11, 10, 9, 8, 7, 6, 5].map((size): Style => ({ kind: 'dot', w: size - (size > 7 ? 2 : 1), h: size - (size > 7 ? 2 : 1), gap: size > 7 ? 2 : 1 })),
]

/** A zone, with its leaves in rows and its own zones below these. */
export interface Box {
  id: string
  place: Place
  depth: number
  x: number
  y: number
  w: number
  h: number
  /** The height of its title. */
  head: number
  /** Its leaves are cells[first] and those after it, in so many columns from gx, gy. */
  gx: number
  gy: number
  cols: number
  first: number
  count: number
}

export interface Cell {
  id: string
  place: Place
  box: number
  x: number
  y: number
}

/** A piece of the lines from the root to zones; what goes through it goes to or comes from these boxes. */
export interface Segment {
  x1: number
  y1: number
  x2: number
  y2: number
  boxes: number[]
  /** The last piece, which goes to one box alone. */
  end: boolean
}

/** The tree as it is drawn, in pixels from the top left. */
export interface Layout {
  w: number
  h: number
  style: Style
  shape: Shape
  root: { place: Place; x: number; y: number; w: number; h: number }
  boxes: Box[]
  cells: Cell[]
  segments: Segment[]
}

/** What was chosen of all ways to draw a tree. */
export interface Shape {
  style: number
  columns: number
}

const headHeight = 24
const pad = 8
const gutter = 28
const indent = 14
const between = 10
const rootHeight = 40
const trunk = 14
const top = rootHeight + trunk * 2
const narrowest = 176
const note = 20

const order = new Intl.Collator('en', { numeric: true })

/** Makes a hierarchy of a tree, or of the part below the member of that id; members are in the order of their names. */
export function placesOf(tree: Tree, focus = ''): Place {
  const root: Place = hierarchy<TreeNode>({ ...tree.self, children: tree.children }, (n) => n.children)
  root.sort((a, b) => order.compare(a.data.name, b.data.name))
  let found = root
  root.each((n: Place) => {
    n.id = n.parent ? childId(n.parent as Place, n.data.name) : ''
    if (focus !== '' && n.id === focus) found = n
  })
  return found
}

function childId(parent: Place, name: string): string {
  return parent.id ? parent.id + ' > ' + name : name
}

const isLeaf = (p: Place) => p.data.tier === 'leaf'
const leavesIn = (p: Place) => (p.children ?? []).filter(isLeaf) as Place[]
const zonesIn = (p: Place) => (p.children ?? []).filter((c) => !isLeaf(c)) as Place[]

/** What is drawn at the top: the zones below root, and before them a group of the leaves that are directly below it. */
interface Group {
  place: Place
  leaves: Place[]
  zones: Group[]
}

function groupsOf(root: Place): Group[] {
  const of = (p: Place): Group => ({ place: p, leaves: leavesIn(p), zones: zonesIn(p).map(of) })
  const all = zonesIn(root).map(of)
  const own = isLeaf(root) ? [root] : leavesIn(root)
  return own.length > 0 || all.length === 0 ? [{ place: root, leaves: own, zones: [] }, ...all] : all
}

const columnsFor = (width: number, s: Style) => Math.max(1, Math.floor((width - 2 * pad + s.gap) / (s.w + s.gap)))

function heightOf(g: Group, width: number, s: Style): number {
  const cols = columnsFor(width, s)
  let h = headHeight
  if (g.leaves.length > 0) h += Math.ceil(g.leaves.length / cols) * (s.h + s.gap) - s.gap + pad
  for (const z of g.zones) h += heightOf(z, width - pad - indent, s) + pad
  return g.leaves.length + g.zones.length === 0 ? h + note : h
}

// The width that a group takes of what it may.
function widthOf(g: Group, width: number, s: Style): number {
  const cols = Math.min(columnsFor(width, s), g.leaves.length)
  let w = Math.max(Math.min(width, narrowest), cols * (s.w + s.gap) - s.gap + 2 * pad)
  for (const z of g.zones) w = Math.max(w, widthOf(z, width - pad - indent, s) + pad + indent)
  return w
}

/** Cuts heights into so many runs, in their order, that the tallest is as low as can be. */
export function partition(heights: number[], columns: number, gap: number): number[][] {
  let low = Math.max(0, ...heights)
  let high = heights.reduce((a, h) => a + h + gap, 0)
  const fill = (limit: number) => {
    const runs: number[][] = []
    let sum = Infinity
    heights.forEach((h, i) => {
      if (sum + gap + h > limit) {
        runs.push([])
        sum = -gap
      }
      runs.at(-1)?.push(i)
      sum += gap + h
    })
    return runs
  }
  while (high - low > 1) {
    const middle = (low + high) / 2
    if (fill(middle).length <= columns) high = middle
    else low = middle
  }
  return fill(high)
}

interface Plan {
  shape: Shape
  runs: number[][]
  widths: number[]
  w: number
  h: number
}

function plan(groups: Group[], width: number, shape: Shape): Plan {
  const s = styles[shape.style] as Style
  const each = Math.floor(width / shape.columns) - gutter
  const heights = groups.map((g) => heightOf(g, each, s))
  const runs = partition(heights, shape.columns, between)
  const widths = runs.map((run) => Math.max(...run.map((i) => widthOf(groups[i] as Group, each, s))))
  const tall = Math.max(0, ...runs.map((run) => run.reduce((a, i) => a + (heights[i] ?? 0) + between, -between)))
  return { shape, runs, widths, w: widths.reduce((a, w) => a + w + gutter, 0), h: top + tall }
}

// The arrangement with the largest leaves that fits; that of before if it still does, so that nothing jumps.
function choose(groups: Group[], width: number, height: number, before: Shape | undefined): Plan {
  const fits = (p: Plan) => p.w <= width && p.h <= height
  const most = Math.max(1, Math.min(groups.length, Math.floor(width / (narrowest + gutter))))
  if (before && before.columns <= most) {
    const p = plan(groups, width, before)
    if (fits(p)) return p
  }
  let best: Plan | undefined
  const size = (p: Plan) => Math.min(width / p.w, height / p.h)
  for (let style = 0; style < styles.length; style++) {
    for (let columns = 1; columns <= most; columns++) {
      const p = plan(groups, width, { style, columns })
      if (!best || size(p) > size(best)) best = p
    }
    if (best && fits(best)) return best
  }
  return best as Plan
}

// Where pages scroll, there is no height that it must fit; then the number of leaves decides.
function byNumber(groups: Group[], width: number): Plan {
  let n = 0
  const sum = (g: Group) => {
    n += g.leaves.length
    g.zones.forEach(sum)
  }
  groups.forEach(sum)
  const style = styles.findIndex((s) => (n <= 60 ? s.w <= 132 : n <= 400 ? s.kind === 'chip' : s.kind === 'dot' && s.w <= 10))
  return plan(groups, width, { style, columns: 1 })
}

/** Lays a tree out in a window of that size; without a height, it is as tall as it needs to be. before is the shape it had. */
export function layoutOf(root: Place, width: number, height: number | undefined, before?: Shape): Layout {
  const groups = groupsOf(root)
  const p = height === undefined ? byNumber(groups, width) : choose(groups, width, height, before)
  const style = styles[p.shape.style] as Style
  const out: Layout = {
    w: p.w,
    h: p.h,
    style,
    shape: p.shape,
    root: { place: root, x: 0, y: 0, w: Math.min(260, width), h: rootHeight },
    boxes: [],
    cells: [],
    segments: [],
  }
  let x = gutter
  const columns: { x: number; boxes: number[] }[] = []
  p.runs.forEach((run, i) => {
    let y = top
    const w = p.widths[i] ?? narrowest
    const column = { x: x - gutter / 2, boxes: [] as number[] }
    for (const g of run) {
      column.boxes.push(out.boxes.length)
      y += put(out, groups[g] as Group, x, y, w, 0) + between
    }
    columns.push(column)
    x += w + gutter
  })
  connect(out, columns)
  return out
}

// Puts a group and what is in it, and returns its height.
function put(out: Layout, g: Group, x: number, y: number, w: number, depth: number): number {
  const s = out.style
  const index = out.boxes.length
  const cols = columnsFor(w, s)
  const box: Box = {
    id: g.place.id ?? '',
    place: g.place,
    depth,
    x,
    y,
    w,
    h: heightOf(g, w, s),
    head: headHeight,
    gx: x + pad,
    gy: y + headHeight,
    cols,
    first: out.cells.length,
    count: g.leaves.length,
  }
  out.boxes.push(box)
  g.leaves.forEach((place, i) => {
    const cx = box.gx + (i % cols) * (s.w + s.gap)
    const cy = box.gy + Math.floor(i / cols) * (s.h + s.gap)
    out.cells.push({ id: place.id ?? '', place, box: index, x: cx, y: cy })
  })
  let below = y + headHeight
  if (g.leaves.length > 0) below += Math.ceil(g.leaves.length / cols) * (s.h + s.gap) - s.gap + pad
  const spine = { x: x + indent / 2 + 1, boxes: [] as number[] }
  const from = below - (g.leaves.length > 0 ? pad : 0)
  for (const z of g.zones) {
    spine.boxes.push(out.boxes.length)
    below += put(out, z, x + indent, below, w - pad - indent, depth + 1) + pad
  }
  descend(out, spine, from)
  return box.h
}

const middle = (b: Box) => b.y + b.head / 2

// Lines from (column.x, from) down to each of its boxes.
function descend(out: Layout, column: { x: number; boxes: number[] }, from: number): void {
  column.boxes.forEach((b, i) => {
    const box = out.boxes[b] as Box
    const above = i === 0 ? from : middle(out.boxes[column.boxes[i - 1] as number] as Box)
    out.segments.push({ x1: column.x, y1: above, x2: column.x, y2: middle(box), boxes: column.boxes.slice(i), end: false })
    out.segments.push({ x1: column.x, y1: middle(box), x2: box.x, y2: middle(box), boxes: [b], end: true })
  })
}

// Lines from the root along the top, and down before each column: none crosses a box.
function connect(out: Layout, columns: { x: number; boxes: number[] }[]): void {
  const y = rootHeight + trunk
  columns.forEach((c, i) => {
    const rest = columns.slice(i).flatMap((d) => d.boxes)
    const from = columns[i - 1]
    if (from) out.segments.push({ x1: from.x, y1: y, x2: c.x, y2: y, boxes: rest, end: false })
    else out.segments.push({ x1: c.x, y1: rootHeight, x2: c.x, y2: y, boxes: rest, end: false })
    descend(out, c, y)
  })
}

/** What is at a point: a leaf, a zone, or nothing. */
export type Hit = { kind: 'cell'; cell: Cell } | { kind: 'box'; box: Box } | undefined

export function hit(l: Layout, x: number, y: number): Hit {
  // Boxes within others come after them.
  for (let i = l.boxes.length - 1; i >= 0; i--) {
    const b = l.boxes[i] as Box
    if (x < b.x || y < b.y || x > b.x + b.w || y > b.y + b.h) continue
    const px = l.style.w + l.style.gap
    const py = l.style.h + l.style.gap
    const col = Math.floor((x - b.gx) / px)
    const row = Math.floor((y - b.gy) / py)
    const n = row * b.cols + col
    if (col >= 0 && col < b.cols && row >= 0 && n < b.count) {
      const cell = l.cells[b.first + n] as Cell
      // Between large cells there is nothing; dots are hard enough to meet.
      if (l.style.kind === 'dot' || (x - cell.x <= l.style.w && y - cell.y <= l.style.h)) return { kind: 'cell', cell }
    }
    return { kind: 'box', box: b }
  }
  return undefined
}

/** What tells a leaf from others of its zone: values of labels that the zone does not have, shard and replica. */
export function shortName(p: Place): string {
  const n = p.data
  const above = p.parent?.data.labels ?? {}
  const own = Object.entries(n.labels ?? {}).filter(([k, v]) => above[k] !== v && !(p.ancestors() as Place[]).slice(1).some((a) => a.data.labels?.[k] === v))
  const parts = own.map(([, v]) => v)
  if (n.shard) parts.push('s' + n.shard)
  if (n.replica) parts.push(n.replica)
  return parts.length > 0 ? parts.join(' ') : n.name
}
