import { promDuration } from '../format/times.ts'
import { labelName } from '../parts/Labels.tsx'

/** A matcher as /api/v1/parse_query tells it. */
export interface Matcher {
  name: string
  type: '=' | '!=' | '=~' | '!~'
  value: string
}

/** A selector of a query and what it reads. */
export interface Selector {
  /** As people write it. */
  text: string
  matchers: Matcher[]
  /** How far back from the end of the query it reads, ms. */
  window: number
  offset: number
  /** The fixed time of an @ modifier, ms since the epoch. */
  at?: number
}

/** A node of a parsed query: only what is looked at here is spelt out. */
export interface Parsed {
  type?: string
  [field: string]: unknown
}

// How far back an instant selector looks, unless a tier was told otherwise.
const lookback = 300_000

const numberOf = (v: unknown): number => (typeof v === 'number' ? v : 0)

/** The selectors of a query on a grid (ms), each once; their windows cover all that any step reads. */
export function selectorsOf(query: Parsed, start: number, end: number): Selector[] {
  const found = new Map<string, Selector>()
  const visit = (node: unknown, above: number) => {
    if (Array.isArray(node)) return node.forEach((n) => visit(n, above))
    if (typeof node !== 'object' || node === null) return
    const n = node as Parsed
    if (n.type === 'vectorSelector' || n.type === 'matrixSelector') {
      const s = selector(n, above, start, end)
      const old = found.get(s.text)
      if (!old || old.window < s.window) found.set(s.text, s)
      return
    }
    const more = n.type === 'subquery' ? numberOf(n.range) + Math.max(0, numberOf(n.offset)) : 0
    for (const v of Object.values(n)) visit(v, above + more)
  }
  visit(query, end - start)
  return [...found.values()]
}

function selector(n: Parsed, above: number, start: number, end: number): Selector {
  const range = n.type === 'matrixSelector' ? numberOf(n.range) || lookback : lookback
  const matchers = (n.matchers as Matcher[] | undefined) ?? []
  const ordered = inOrder(matchers)
  const s: Selector = { text: '', matchers: ordered, window: above + range, offset: numberOf(n.offset) }
  const at = n.startOrEnd === 'start' ? start : n.startOrEnd === 'end' ? end : n.timestamp
  if (typeof at === 'number') s.at = at
  s.text = selectorText(ordered) + (n.type === 'matrixSelector' ? `[${ms(range)}]` : '') + modifiers(s)
  return s
}

// The name is what people write first, and what narrows most. A selector may not begin with a matcher that series without the label pass.
function inOrder(matchers: Matcher[]): Matcher[] {
  const named = [...matchers.filter((m) => m.name === '__name__'), ...matchers.filter((m) => m.name !== '__name__')]
  const first = named.find((m) => !matchesEmpty(m))
  return first ? [first, ...named.filter((m) => m !== first)] : named
}

const ms = (n: number) => promDuration(n / 1000)

function modifiers(s: Selector): string {
  const offset = s.offset === 0 ? '' : ` offset ${s.offset < 0 ? '-' : ''}${ms(Math.abs(s.offset))}`
  return offset + (s.at === undefined ? '' : ` @ ${(s.at / 1000).toFixed(3)}`)
}

/** One matcher as PromQL writes it. */
export function matcherText(m: Matcher): string {
  return `${labelName(m.name)}${m.type}${JSON.stringify(m.value)}`
}

/** Matchers as a selector: the name before the braces if it can stand there. */
export function selectorText(matchers: Matcher[]): string {
  const name = matchers.find((m) => m.name === '__name__' && m.type === '=' && /^[a-zA-Z_:][\w:]*$/.test(m.value))
  const others = matchers.filter((m) => m !== name).map(matcherText)
  if (!name) return `{${others.join(', ')}}`
  return others.length ? `${name.value}{${others.join(', ')}}` : name.value
}

/** Reads the series of a selector, with the matchers given, over all of its window. */
export function readText(s: Selector, matchers: Matcher[]): string {
  return `last_over_time(${selectorText(matchers)}[${ms(s.window)}]${modifiers(s)})`
}

/** Counts the series of a selector in the part of the tree that has some identity labels. */
export function pinnedCount(s: Selector, identity: Record<string, string>): string {
  const pins = Object.entries(identity)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]): Matcher => ({ name, type: '=', value }))
  return `count(${readText(s, [...s.matchers, ...pins])})`
}

/** Whether a matcher lets series through that lack its label; those rule out nothing by themselves. */
export function matchesEmpty(m: Matcher): boolean {
  if (m.type === '=') return m.value === ''
  if (m.type === '!=') return m.value !== ''
  try {
    const hit = new RegExp(`^(?:${m.value})$`).test('')
    return m.type === '=~' ? hit : !hit
  } catch {
    // RE2 has forms that this browser does not know; the API will tell.
    return false
  }
}
