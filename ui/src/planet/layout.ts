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
  ...[20, 16, 13, 11, 10, 9, 8, 7, 6, 5].map((size): Style => ({
    kind: 'dot',
    w: size - (size > 7 ? 2 : 1),
    h: size - (size > 7 ? 2 : 1),
    gap: size > 7 ? 2 : 1,
  })),
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
  /** What tells replicas and shards from single leaves. */
  form: 'single' | 'replica' | 'shard'
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
}

const headHeight = 24
const pad = 8
const indent = 14
const left = 26
const between = 12
const lane = 18
const rootHeight = 40
const narrowest = 124
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

/** The size of a group as it counts for its place: large zones come first, and small changes move nothing. */
const size = (g: Group): number => Math.floor(Math.log2(1 + g.place.leaves().length))

const columnsFor = (width: number, s: Style) => Math.max(1, Math.floor((width - 2 * pad + s.gap) / (s.w + s.gap)))
const rowsHigh = (rows: number, s: Style) => (rows > 0 ? rows * (s.h + s.gap) - s.gap + pad : 0)
const columnsWide = (cols: number, s: Style) => cols * (s.w + s.gap) - s.gap + 2 * pad

function heightOf(g: Group, width: number, s: Style): number {
  let h = headHeight + rowsHigh(Math.ceil(g.leaves.length / columnsFor(width, s)), s)
  for (const z of g.zones) h += heightOf(z, width - pad - indent, s) + pad
  return g.leaves.length + g.zones.length === 0 ? h + note : h
}

// The least width in which a group is no higher than so many rows of leaves below a title.
function widthFor(g: Group, rows: number, most: number, s: Style): number {
  const least = Math.max(narrowest, columnsWide(1, s))
  if (g.zones.length === 0) return Math.max(least, columnsWide(Math.ceil(g.leaves.length / rows), s))
  const limit = headHeight + Math.max(note, rowsHigh(rows, s))
  let low = least
  let high = most
  if (heightOf(g, high, s) > limit) return Infinity
  while (high - low > 4) {
    const mid = (low + high) / 2
    if (heightOf(g, mid, s) <= limit) high = mid
    else low = mid
  }
  return high
}

/** Groups side by side, each so many rows high. */
interface Strip {
  groups: Group[]
  widths: number[]
  h: number
}

const mostRows = 4096

// The lowest strip that has all of these groups in so much width; undefined if they do not go side by side.
function stripOf(groups: Group[], width: number, s: Style): Strip | undefined {
  const widths = (rows: number) => groups.map((g) => widthFor(g, rows, width, s))
  const wide = (w: number[]) => w.reduce((a, x) => a + x, 0) + between * (groups.length - 1)
  if (wide(widths(mostRows)) > width && groups.length > 1) return undefined
  let low = 1
  let high = mostRows
  while (low < high) {
    const mid = (low + high) >> 1
    if (wide(widths(mid)) <= width) high = mid
    else low = mid + 1
  }
  const chosen = widths(low).map((w) => Math.min(w, width))
  return { groups, widths: chosen, h: Math.max(...groups.map((g, i) => heightOf(g, chosen[i] ?? width, s))) }
}

/** Cuts groups into strips, in their order, so that all together is as low as can be. */
export function stripsOf(groups: Group[], width: number, s: Style): Strip[] {
  const best: { h: number; strip: Strip | undefined; from: number }[] = [{ h: 0, strip: undefined, from: 0 }]
  const atMost = Math.max(1, Math.floor((width + between) / (narrowest + between)))
  for (let to = 1; to <= groups.length; to++) {
    let found: (typeof best)[number] | undefined
    for (let from = to - 1; from >= Math.max(0, to - atMost); from--) {
      const strip = stripOf(groups.slice(from, to), width, s)
      if (!strip) break
      const h = (best[from]?.h ?? 0) + strip.h + lane
      if (!found || h < found.h) found = { h, strip, from }
    }
    best.push(found ?? { h: Infinity, strip: undefined, from: to - 1 })
  }
  const out: Strip[] = []
  for (let at = groups.length; at > 0; at = best[at]?.from ?? 0) {
    const strip = best[at]?.strip
    if (strip) out.push(strip)
  }
  return out.reverse()
}

interface Plan {
  shape: Shape
  strips: Strip[]
  w: number
  h: number
}

function plan(groups: Group[], width: number, style: number): Plan {
  const strips = stripsOf(groups, width - left, styles[style] as Style)
  const wide = strips.map((t) => t.widths.reduce((a, w) => a + w + between, -between))
  return {
    shape: { style },
    strips,
    w: left + Math.max(...wide, narrowest),
    h: strips.reduce((a, t) => a + t.h + lane, rootHeight),
  }
}

function leavesOfAll(groups: Group[]): number {
  return groups.reduce((a, g) => a + g.leaves.length + leavesOfAll(g.zones), 0)
}

// The largest leaves that fit; those of before if they still do, so that nothing jumps.
function choose(groups: Group[], width: number, height: number, before: Shape | undefined): Plan {
  const fits = (p: Plan) => p.w <= width && p.h <= height
  if (before) {
    const p = plan(groups, width, before.style)
    if (fits(p)) return p
  }
  const n = leavesOfAll(groups)
  const last = styles.length - 1
  for (let style = 0; style < last; style++) {
    const s = styles[style] as Style
    if (n * (s.w + s.gap) * (s.h + s.gap) > width * height) continue
    const p = plan(groups, width, style)
    if (fits(p)) return p
  }
  return plan(groups, width, last)
}

// Where pages scroll, there is no height that it must fit; then the number of leaves decides.
function byNumber(groups: Group[], width: number): Plan {
  const n = leavesOfAll(groups)
  const style = styles.findIndex((s) =>
    n <= 60 ? s.w <= 132 : n <= 400 ? s.kind === 'chip' : s.kind === 'dot' && s.w <= 10,
  )
  return plan(groups, width, style)
}

/** Lays a tree out in a window of that size; without a height, it is as tall as it needs to be. before is the shape it had. */
export function layoutOf(root: Place, width: number, height: number | undefined, before?: Shape): Layout {
  const groups = groupsOf(root)
    .map((g) => ({ g, size: size(g) }))
    .sort((a, b) => b.size - a.size)
    .map(({ g }) => g)
  const p = height === undefined ? byNumber(groups, width) : choose(groups, width, height, before)
  const out: Layout = {
    w: p.w,
    h: p.h,
    style: styles[p.shape.style] as Style,
    shape: p.shape,
    root: { place: root, x: 0, y: 0, w: Math.min(260, width), h: rootHeight },
    boxes: [],
    cells: [],
    segments: [],
  }
  let y = rootHeight
  const lanes: { y: number; boxes: number[] }[] = []
  for (const strip of p.strips) {
    const boxes: number[] = []
    let x = left
    strip.groups.forEach((g, i) => {
      boxes.push(out.boxes.length)
      const w = strip.widths[i] ?? narrowest
      put(out, g, x, y + lane, w, 0)
      x += w + between
    })
    lanes.push({ y: y + lane / 2, boxes })
    y += lane + strip.h
  }
  connect(out, lanes)
  return out
}

function formOf({ data }: Place): Cell['form'] {
  return data.replica ? 'replica' : data.shard ? 'shard' : 'single'
}

// Puts a group and what is in it, and returns its height.
function put(out: Layout, g: Group, x: number, y: number, w: number, depth: number): number {
  const s = out.style
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
  const index = out.boxes.push(box) - 1
  g.leaves.forEach((place, i) => {
    const cx = box.gx + (i % cols) * (s.w + s.gap)
    const cy = box.gy + Math.floor(i / cols) * (s.h + s.gap)
    out.cells.push({ id: place.id ?? '', place, form: formOf(place), box: index, x: cx, y: cy })
  })
  let below = y + headHeight + rowsHigh(Math.ceil(g.leaves.length / cols), s)
  const from = below - (g.leaves.length > 0 ? pad : 0)
  const boxes: number[] = []
  for (const z of g.zones) {
    boxes.push(out.boxes.length)
    below += put(out, z, x + indent, below, w - pad - indent, depth + 1) + pad
  }
  descend(out, x + indent / 2 + 1, boxes, from)
  return box.h
}

const middle = (b: Box) => b.y + b.head / 2

// A line down from (x, from), and from it one to the side of each box.
function descend(out: Layout, x: number, boxes: number[], from: number): void {
  boxes.forEach((b, i) => {
    const box = out.boxes[b] as Box
    const above = i === 0 ? from : middle(out.boxes[boxes[i - 1] as number] as Box)
    out.segments.push({ x1: x, y1: above, x2: x, y2: middle(box), boxes: boxes.slice(i), end: false })
    out.segments.push({ x1: x, y1: middle(box), x2: box.x, y2: middle(box), boxes: [b], end: true })
  })
}

// A line down from the root at the left, one from it above each strip, and one down from that to each box: none crosses a box.
function connect(out: Layout, lanes: { y: number; boxes: number[] }[]): void {
  const x = left / 2
  lanes.forEach((t, i) => {
    const from = i === 0 ? rootHeight : (lanes[i - 1]?.y ?? 0)
    out.segments.push({ x1: x, y1: from, x2: x, y2: t.y, boxes: lanes.slice(i).flatMap((u) => u.boxes), end: false })
    let at = x
    t.boxes.forEach((b, k) => {
      const box = out.boxes[b] as Box
      const to = box.x + 18
      out.segments.push({ x1: at, y1: t.y, x2: to, y2: t.y, boxes: t.boxes.slice(k), end: false })
      out.segments.push({ x1: to, y1: t.y, x2: to, y2: box.y, boxes: [b], end: true })
      at = to
    })
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
  const own = Object.entries(n.labels ?? {}).filter(
    ([k, v]) => above[k] !== v && !(p.ancestors() as Place[]).slice(1).some((a) => a.data.labels?.[k] === v),
  )
  const parts = own.map(([, v]) => v)
  if (n.shard) parts.push('s' + n.shard)
  if (n.replica) parts.push(n.replica)
  return parts.length > 0 ? parts.join(' ') : n.name
}
