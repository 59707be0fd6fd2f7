import { nearest } from './near.ts'
import { matchesEmpty, matcherText, readText, selectorText, type Matcher, type Selector } from './selectors.ts'

/** Asks the tier; all requests are of one moment. */
export interface Asker {
  /** The value of an instant query that has one sample at most, 0 if it has none, and the children that did not answer. */
  count: (expr: string) => Promise<{ value: number; missing: string[] }>
  /** Values of a label among the series of a selector ('' is all series), in the time of the selector. */
  values: (label: string, match: string, s: Selector) => Promise<Names>
  /** Names of labels among the series of a selector. */
  labels: (match: string, s: Selector) => Promise<Names>
  /** Whether a selector has any series, so many milliseconds back from the selector's own time. */
  any: (match: string, s: Selector, back: number) => Promise<{ found: boolean; missing: string[] }>
}

/** Names or values, without those that only the missing children have. */
export interface Names {
  names: string[]
  missing: string[]
}

/** How many series, and of how many clusters, are left after a matcher was added to those before it. */
export interface FunnelStep {
  matcher: Matcher
  series: number
  clusters: number
  /** Children that are missing from the counts. */
  missing: string[]
}

/** What could be meant by the matcher that leaves nothing. */
export interface Near {
  /** The label has these values, among the series that the matchers before it select. */
  values: string[]
  /** How many there are in all; the largest number asked for means as many or more. */
  of: number
  /** No series before has the label at all: these are the labels there are. */
  labels?: string[]
  /** Series with that matcher alone: some exist. */
  alone?: boolean
  /** The matchers selected something within the day before. */
  earlier: boolean
  /** Children that had no part in this or in the counts: what is not here may be there. */
  missing: string[]
}

export interface Funnel {
  selector: Selector
  steps: FunnelStep[]
  /** Matchers that were not tried, since those before leave nothing. */
  untried: Matcher[]
  near?: Near
}

/** Values and names that are asked for. */
export const mostValues = 10_000
// Shown of these.
const shown = 12
const day = 86_400_000

// Labels that tell clusters apart; of one cluster there may be several leaves, as shards and replicas.
const identity = 'zone, cluster'

/** Adds a selector's matchers one after the other and counts what is left, until nothing is; tells of each step as it is known. */
export async function runFunnel(s: Selector, ask: Asker, tell: (f: Funnel) => void): Promise<Funnel> {
  const f: Funnel = { selector: s, steps: [], untried: [...s.matchers] }
  while (f.untried.length > 0) {
    const upto = s.matchers.slice(0, f.steps.length + 1)
    const read = readText(s, upto)
    const [series, clusters] = await Promise.all([
      ask.count(`count(${read})`),
      ask.count(`count(count by (${identity}) (${read}))`),
    ])
    f.steps = [
      ...f.steps,
      {
        matcher: upto.at(-1) as Matcher,
        series: series.value,
        clusters: clusters.value,
        missing: [...new Set([...series.missing, ...clusters.missing])],
      },
    ]
    f.untried = s.matchers.slice(upto.length)
    tell({ ...f })
    if (series.value === 0) {
      f.near = await near(s, f.steps, ask)
      break
    }
  }
  return { ...f }
}

async function near(s: Selector, steps: FunnelStep[], ask: Asker): Promise<Near> {
  const k = steps.length - 1
  const m = s.matchers[k] as Matcher
  const before = k > 0 ? selectorText(s.matchers.slice(0, k)) : ''
  const missing = new Set(steps.flatMap((st) => st.missing))
  const noted = async <T extends { missing: string[] }>(answer: Promise<T>): Promise<T> => {
    const a = await answer
    for (const name of a.missing) missing.add(name)
    return a
  }
  const [{ names: values }, { found: earlier }] = await Promise.all([
    noted(ask.values(m.name, before, s)),
    noted(ask.any(selectorText(s.matchers), s, day)),
  ])
  const n: Near = { values: pick(m, values), of: values.length, earlier, missing: [] }
  if (values.length === 0 && k > 0) n.labels = nearest(m.name, (await noted(ask.labels(before, s))).names, shown)
  if (k > 0 && !matchesEmpty(m)) n.alone = (await noted(ask.any(`{${matcherText(m)}}`, s, 0))).found
  n.missing = [...missing]
  return n
}

// Of few values all are of interest; of many those like the one wanted. What a pattern wants is not known.
function pick(m: Matcher, values: string[]): string[] {
  const like = nearest(m.type === '=' ? m.value : m.value.replaceAll(/[^\w.:/-]+/g, ''), values, shown)
  if (values.length > shown) return like.length ? like : values.slice(0, shown)
  return [...like, ...values.filter((v) => !like.includes(v))]
}

/** What a funnel says, in a sentence. */
export function conclusion(f: Funnel): { level: 'good' | 'bad' | 'warn'; text: string } {
  const last = f.steps.at(-1)
  const missing = f.steps.flatMap((st) => st.missing)
  if (!last) return { level: 'warn', text: 'nothing was counted' }
  if (last.series > 0) {
    const has = `It selects ${last.series} series of ${last.clusters} ${last.clusters === 1 ? 'cluster' : 'clusters'}.`
    return { level: missing.length ? 'warn' : 'good', text: has }
  }
  const what = matcherText(last.matcher)
  if (missing.length)
    return {
      level: 'warn',
      text: `Nothing is left after ${what}, but not all children answered: it may be on ${missing.join('; ')}.`,
    }
  const first = f.steps.length === 1
  return {
    level: 'bad',
    text: first
      ? `No series has ${what}.`
      : `${what} is what leaves nothing: the matchers before it still select ${f.steps.at(-2)?.series} series.`,
  }
}

/**
 * What is said of something that was not found: that no series has it, or only that none was found among those who answered. What was
 * found is there, whoever is missing.
 */
export function noSeries(n: Near): string {
  return n.missing.length > 0 ? 'Of those who answered no series' : 'No series'
}
