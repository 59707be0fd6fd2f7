import type { SyntaxNode } from '@lezer/common'
import { parse } from './grammar.ts'
import type { Unit } from './unittext.ts'

/** What is known of a metric's unit beside its name. */
export type Told = (metric: string) => string | undefined

// Words of OpenMetrics, and of OpenTelemetry, for what is shown alike.
const synonyms: Record<string, Unit> = {
  s: 'seconds',
  second: 'seconds',
  ms: 'milliseconds',
  millisecond: 'milliseconds',
  us: 'microseconds',
  ns: 'nanoseconds',
  by: 'bytes',
  byte: 'bytes',
  ratios: 'ratio',
  '1': 'ratio',
  '%': 'percent',
}

// A sentence is no unit.
const longestUnit = 24

/** The unit that a metric's metadata or, by convention, its name tells. */
export function unitOfMetric(name: string, metadata?: string): Unit {
  // Moments since 1970 are no durations, whatever they are counted in.
  if (/timestamp_seconds$|(start|boot)_time_seconds$|_created$/.test(name)) return ''
  const told = (metadata ?? '').trim()
  if (told !== '' && told.length <= longestUnit) return synonyms[told.toLowerCase()] ?? told
  if (/(^|_)(count|bucket)$/.test(name) || name.endsWith('_info')) return ''
  // Recording rules put the operation behind a colon: level:metric:operations.
  const parts = name.split(':')
  const metric = parts.length === 3 ? (parts[1] ?? '') : name
  if (parts.length === 3 && /^ratio(_|$)/.test(parts[2] ?? '')) return 'ratio'
  const rate = parts.length === 3 && /^(rate|irate|increase)\d/.test(parts[2] ?? '')
  const base = metric.replace(/_(total|sum)$/, '')
  if (/(^|_)seconds$/.test(base)) return rate ? '' : 'seconds'
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
export function unitOf(expr: string, metadata: Told = () => undefined): Unit {
  const top = parse(expr).topNode.firstChild
  return top ? of(top, expr, metadata) : ''
}

/** The unit of what was observed, of an expression of histograms or their buckets. */
export function unitOfBuckets(expr: string, metadata: Told = () => undefined): Unit {
  return observed(parse(expr).topNode, expr, metadata)
}

/** The metrics that an expression names, each once. */
export function metricsOf(expr: string): string[] {
  const names = new Set<string>()
  parse(expr).iterate({
    enter: (c) => {
      if (c.name === 'VectorSelector') names.add(nameOf(c.node, expr))
    },
  })
  names.delete('')
  return [...names]
}

// The name before the braces, the one in quotes within them, or that of __name__="…"; '' if there is none.
function nameOf(selector: SyntaxNode, expr: string): string {
  const text = (n: SyntaxNode | null | undefined) => (n ? expr.slice(n.from, n.to) : '')
  const id = selector.getChild('Identifier')
  if (id) return text(id)
  const list = selector.getChild('LabelMatchers')
  const quoted = list?.getChild('QuotedLabelName')
  if (quoted) return unquoted(text(quoted))
  const named = list
    ?.getChildren('UnquotedLabelMatcher')
    .find((m) => text(m.getChild('LabelName')) === '__name__' && text(m.getChild('MatchOp')) === '=')
  return unquoted(text(named?.getChild('StringLiteral')))
}

function unquoted(literal: string): string {
  return literal.slice(1, -1).replace(/\\(["'\\])/g, '$1')
}

function of(n: SyntaxNode, expr: string, metadata: Told): Unit {
  const inner = (c: SyntaxNode | null): Unit => (c ? of(c, expr, metadata) : '')
  switch (n.name) {
    case 'VectorSelector': {
      const name = nameOf(n, expr)
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

function called(n: SyntaxNode, inner: (c: SyntaxNode | null) => Unit, expr: string, metadata: Told): Unit {
  const op = (n.getChild('AggregateOp') ?? n.getChild('FunctionIdentifier'))?.firstChild?.name ?? ''
  const args: SyntaxNode[] = []
  for (let c = n.getChild('FunctionCallBody')?.firstChild ?? null; c; c = c.nextSibling) args.push(c)
  const arg = args.find((c) => !/Literal/.test(c.name)) ?? null
  if (op === 'HistogramFraction') return 'ratio'
  if (op === 'HistogramQuantile') return observed(arg, expr, metadata)
  if (keeping.has(op)) return inner(arg)
  if (op === 'Rate' || op === 'Irate' || op === 'Deriv') return perSecond(inner(arg))
  return ''
}

// Of time, and of what has no unit, a rate has none either.
function perSecond(unit: Unit): Unit {
  return unit === '' || unit === 'ratio' || unit === 'percent' || unit.includes('/') || unit.endsWith('seconds')
    ? ''
    : unit + '/s'
}

// Quantiles are in the unit of the observations, whatever rates were taken of their counts.
function observed(arg: SyntaxNode | null, expr: string, metadata: Told): Unit {
  let unit: Unit = ''
  arg?.cursor().iterate((c) => {
    if (c.name !== 'VectorSelector') return
    const name = nameOf(c.node, expr).replace(/_bucket$/, '')
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
