import type { SyntaxNode } from '@lezer/common'
import { bytes, count, duration, percent } from '../format/numbers.ts'
import { parse } from './grammar.ts'

/** What values of an expression are in; '' is not known. */
export type Unit = '' | 'seconds' | 'bytes' | 'bytes/s' | 'ratio'

/** The unit that a metric's metadata or, by convention, its name tells. */
export function unitOfMetric(name: string, metadata?: string): Unit {
  if (metadata === 'seconds' || metadata === 'bytes' || metadata === 'ratio') return metadata
  if (/(^|_)(count|bucket)$/.test(name) || name.endsWith('_info')) return ''
  // Recording rules put the operation behind a colon: level:metric:operations.
  const parts = name.split(':')
  const metric = parts.length === 3 ? (parts[1] ?? '') : name
  if (parts.length === 3 && /^ratio(_|$)/.test(parts[2] ?? '')) return 'ratio'
  const rate = parts.length === 3 && /^(rate|irate|increase)\d/.test(parts[2] ?? '')
  const base = metric.replace(/_(total|sum|created)$/, '')
  if (/(^|_)seconds$/.test(base))
    return rate ? '' : /timestamp_seconds$|(start|boot)_time_seconds$/.test(base) ? '' : 'seconds'
  if (/(^|_)bytes$/.test(base)) return rate ? 'bytes/s' : 'bytes'
  return /(^|_)ratio$/.test(base) && !rate ? 'ratio' : ''
}

const keeping = new Set(
  (
    'Sum Avg Min Max Topk Bottomk Quantile Stddev LimitK LimitRatio SumOverTime AvgOverTime MinOverTime MaxOverTime LastOverTime FirstOverTime ' +
    'QuantileOverTime StddevOverTime Abs Ceil Floor Round Sort SortDesc SortByLabel SortByLabelDesc Clamp ClampMax ClampMin LabelReplace LabelJoin ' +
    'Delta Idelta Increase PredictLinear HistogramQuantile HistogramAvg HistogramSum HistogramStdDev Scalar'
  ).split(' '),
)

/** The unit of an expression's values, as far as it follows from its metrics; metadata gives a metric's own. */
export function unitOf(expr: string, metadata: (metric: string) => string | undefined = () => undefined): Unit {
  const top = parse(expr).topNode.firstChild
  return top ? of(top, expr, metadata) : ''
}

/** The unit of what was observed, of an expression of histograms or their buckets. */
export function unitOfBuckets(expr: string, metadata: (metric: string) => string | undefined = () => undefined): Unit {
  return observed(parse(expr).topNode, expr, metadata)
}

function of(n: SyntaxNode, expr: string, metadata: (m: string) => string | undefined): Unit {
  const inner = (c: SyntaxNode | null): Unit => (c ? of(c, expr, metadata) : '')
  switch (n.name) {
    case 'VectorSelector': {
      const id = n.getChild('Identifier')
      const name = id ? expr.slice(id.from, id.to) : ''
      return name ? unitOfMetric(name, metadata(name)) : ''
    }
    case 'MatrixSelector':
    case 'SubqueryExpr':
    case 'OffsetExpr':
    case 'StepInvariantExpr':
    case 'ParenExpr':
    case 'UnaryExpr':
    case 'AnchoredExpr':
    case 'SmoothedExpr': {
      let c = n.firstChild
      while (c && !/Expr$|Selector$|Call$/.test(c.name)) c = c.nextSibling
      return inner(c)
    }
    case 'AggregateExpr':
    case 'FunctionCall':
      return called(n, inner, expr, metadata)
    case 'BinaryExpr':
      return binary(n, inner)
    default:
      return ''
  }
}

function called(
  n: SyntaxNode,
  inner: (c: SyntaxNode | null) => Unit,
  expr: string,
  metadata: (m: string) => string | undefined,
): Unit {
  const op = (n.getChild('AggregateOp') ?? n.getChild('FunctionIdentifier'))?.firstChild?.name ?? ''
  const args: SyntaxNode[] = []
  for (let c = n.getChild('FunctionCallBody')?.firstChild ?? null; c; c = c.nextSibling) args.push(c)
  const arg = args.find((c) => !/Literal/.test(c.name)) ?? null
  if (op === 'HistogramFraction') return 'ratio'
  if (op === 'HistogramQuantile') return observed(arg, expr, metadata)
  if (keeping.has(op)) return inner(arg)
  if (op === 'Rate' || op === 'Irate' || op === 'Deriv') return inner(arg) === 'bytes' ? 'bytes/s' : ''
  return ''
}

// Quantiles are in the unit of the observations, whatever rates were taken of their counts.
function observed(arg: SyntaxNode | null, expr: string, metadata: (m: string) => string | undefined): Unit {
  let unit: Unit = ''
  arg?.cursor().iterate((c) => {
    if (c.name !== 'VectorSelector') return
    const id = c.node.getChild('Identifier')
    const name = id ? expr.slice(id.from, id.to).replace(/_bucket$/, '') : ''
    if (name) unit = unitOfMetric(name, metadata(name))
  })
  return unit
}

function binary(n: SyntaxNode, inner: (c: SyntaxNode | null) => Unit): Unit {
  const a = inner(n.firstChild)
  const b = inner(n.lastChild)
  let op = ''
  for (let c = n.firstChild; c; c = c.nextSibling)
    if (/^(Add|Sub|Div|Mod|And|Or|Unless|Gtr|Lss|Gte|Lte|Eql|EqlC|Neq)$/.test(c.name)) op = c.name
  if (n.getChild('BoolModifier')) return ''
  if (op === 'Div') return a !== '' && a === b ? 'ratio' : ''
  if (op === 'Add' || op === 'Sub' || op === 'Or') return a === b ? a : ''
  return op === '' ? '' : a
}

/** Writes a value of a unit for axes and tooltips. */
export function withUnit(v: number, unit: Unit): string {
  if (unit === 'seconds') return duration(v)
  if (unit === 'bytes') return bytes(v)
  if (unit === 'bytes/s') return bytes(v) + '/s'
  if (unit === 'ratio') return percent(v)
  return short(v)
}

function short(v: number): string {
  if (v === 0) return '0'
  const a = Math.abs(v)
  if (a >= 1000) return count(v)
  if (a < 1e-4) return v.toExponential(2)
  return String(Number(v.toPrecision(4)))
}
