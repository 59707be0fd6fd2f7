import { labelName } from '../parts/Labels.tsx'
import { promDuration } from '../format/times.ts'

/** An arithmetic expression of durations. */
export interface DurationExpr {
  type: 'durationExpr' | 'numberLiteral'
  op?: string
  lhs?: DurationExpr | null
  rhs?: DurationExpr | null
  wrapped?: boolean
  val?: string
  duration?: boolean
}

interface Moved {
  offset: number
  offsetExpr: DurationExpr | null
  timestamp: number | null
  startOrEnd: 'start' | 'end' | null
}

export interface Selector extends Moved {
  type: 'vectorSelector' | 'matrixSelector'
  name: string
  matchers: { name: string; type: string; value: string }[]
  range?: number
  rangeExpr?: DurationExpr | null
  anchored?: boolean
  smoothed?: boolean
}

/** A node of an expression, as /api/v1/parse_query tells it; durations are milliseconds. */
export type Node =
  | Selector
  | { type: 'aggregation'; op: string; expr: Node; param: Node | null; grouping: string[]; without: boolean }
  | { type: 'binaryExpr'; op: string; lhs: Node; rhs: Node; bool: boolean; matching: Matching | null }
  | { type: 'call'; func: { name: string; returnType: string }; args: Node[] }
  | ({
      type: 'subquery'
      expr: Node
      range: number
      rangeExpr: DurationExpr | null
      step: number
      stepExpr: DurationExpr | null
    } & Moved)
  | { type: 'numberLiteral' | 'stringLiteral'; val: string }
  | { type: 'parenExpr'; expr: Node }
  | { type: 'unaryExpr'; op: string; expr: Node }
  | { type: 'placeholder'; children: Node[] }

export interface Matching {
  card: string
  labels: string[]
  on: boolean
  include: string[]
  fillValues?: { lhs: number | null; rhs: number | null } | null
}

/** The expressions that a node is made of, in the order in which they are written. */
export function childrenOf(n: Node): Node[] {
  switch (n.type) {
    case 'aggregation':
      return n.param ? [n.param, n.expr] : [n.expr]
    case 'binaryExpr':
      return [n.lhs, n.rhs]
    case 'call':
      return n.args
    case 'subquery':
    case 'parenExpr':
    case 'unaryExpr':
      return [n.expr]
    case 'placeholder':
      return n.children
    default:
      return []
  }
}

/** What a node does itself, without the expressions that it is made of: for a tree that shows these below. */
export function headOf(n: Node): string {
  switch (n.type) {
    case 'aggregation':
      return `${n.op}${grouping(n)} (…)`
    case 'binaryExpr':
      return operator(n)
    case 'call':
      return `${n.func.name}(${n.args.length > 0 ? '…' : ''})`
    case 'subquery':
      return `…${window(n)}`
    case 'parenExpr':
      return '(…)'
    case 'unaryExpr':
      return `${n.op}…`
    default:
      return textOf(n)
  }
}

/** Writes a node as PromQL. Parentheses are nodes of their own, so that none need be added. */
export function textOf(n: Node): string {
  switch (n.type) {
    case 'aggregation':
      return `${n.op}${grouping(n)} (${childrenOf(n).map(textOf).join(', ')})`
    case 'binaryExpr':
      return `${textOf(n.lhs)} ${operator(n)} ${textOf(n.rhs)}`
    case 'call':
      return `${n.func.name}(${n.args.map(textOf).join(', ')})`
    case 'subquery':
      return textOf(n.expr) + window(n)
    case 'parenExpr':
      return `(${textOf(n.expr)})`
    case 'unaryExpr':
      return n.op + textOf(n.expr)
    case 'numberLiteral':
      return n.val
    case 'stringLiteral':
      return JSON.stringify(n.val)
    case 'placeholder':
      return '…'
    default:
      return selector(n)
  }
}

/** An instant query that has a series for each that the node has; undefined if it has none (a number, a text). */
export function countable(n: Node): string | undefined {
  if (n.type === 'numberLiteral' || n.type === 'stringLiteral' || n.type === 'placeholder') return undefined
  // A range of samples is more than is needed to count series.
  if (n.type === 'matrixSelector') return `last_over_time(${selector({ ...n, anchored: false, smoothed: false })})`
  if (n.type === 'subquery') return `last_over_time(${textOf(n)})`
  return textOf(n)
}

const names = (list: string[]) => list.map(labelName).join(', ')

function grouping(n: { grouping: string[]; without: boolean }): string {
  if (n.without) return ` without (${names(n.grouping)})`
  return n.grouping.length > 0 ? ` by (${names(n.grouping)})` : ''
}

function operator(n: Node & { type: 'binaryExpr' }): string {
  let out = n.op + (n.bool ? ' bool' : '')
  const m = n.matching
  if (!m) return out
  const grouped = m.card === 'many-to-one' ? 'left' : m.card === 'one-to-many' ? 'right' : ''
  if (m.on || m.labels.length > 0 || grouped) out += ` ${m.on ? 'on' : 'ignoring'} (${names(m.labels)})`
  if (grouped) out += ` group_${grouped} (${names(m.include)})`
  const { lhs = null, rhs = null } = m.fillValues ?? {}
  if (lhs !== null && lhs === rhs) return `${out} fill(${lhs})`
  if (lhs !== null) out += ` fill_left(${lhs})`
  if (rhs !== null) out += ` fill_right(${rhs})`
  return out
}

function length(ms: number, expr: DurationExpr | null | undefined): string {
  return expr ? durationText(expr) : promDuration(ms / 1000)
}

function durationText(e: DurationExpr): string {
  if (e.type === 'numberLiteral') return e.duration ? promDuration(Number(e.val)) : (e.val ?? '')
  const side = (s: DurationExpr | null | undefined) => (s ? durationText(s) : '')
  const op = e.op ?? ''
  const text =
    op === 'step' || op === 'range'
      ? `${op}()`
      : op === 'min_of' || op === 'max_of'
        ? `${op}(${side(e.lhs)}, ${side(e.rhs)})`
        : e.lhs
          ? `${side(e.lhs)} ${op} ${side(e.rhs)}`
          : op + side(e.rhs)
  return e.wrapped ? `(${text})` : text
}

function moved(n: Moved): string {
  const at = n.timestamp !== null ? ` @ ${(n.timestamp / 1000).toFixed(3)}` : n.startOrEnd ? ` @ ${n.startOrEnd}()` : ''
  if (n.offsetExpr) return `${at} offset ${durationText(n.offsetExpr)}`
  if (!n.offset) return at
  return `${at} offset ${n.offset < 0 ? '-' : ''}${promDuration(Math.abs(n.offset) / 1000)}`
}

function window(n: Node & { type: 'subquery' }): string {
  const step = n.stepExpr || n.step ? length(n.step, n.stepExpr) : ''
  return `[${length(n.range, n.rangeExpr)}:${step}]${moved(n)}`
}

function selector(n: Selector): string {
  const plain = /^[a-zA-Z_:][\w:]*$/.test(n.name)
  const matchers = n.matchers
    .filter((m) => !(m.name === '__name__' && m.type === '=' && m.value === n.name))
    .map((m) => `${labelName(m.name)}${m.type}${JSON.stringify(m.value)}`)
  if (n.name !== '' && !plain) matchers.unshift(JSON.stringify(n.name))
  const braces = matchers.length > 0 ? `{${matchers.join(', ')}}` : plain ? '' : '{}'
  const range = n.type === 'matrixSelector' ? `[${length(n.range ?? 0, n.rangeExpr)}]` : ''
  const how = n.anchored ? ' anchored' : n.smoothed ? ' smoothed' : ''
  return (plain ? n.name : '') + braces + range + how + moved(n)
}
