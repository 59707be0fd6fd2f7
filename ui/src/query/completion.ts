import { ask, type Params } from '../api/client.ts'
import { parseMissing } from '../api/stats.ts'
import { labelName } from '../parts/Labels.tsx'
import { escapeRegex } from './scopetext.ts'

/** A metric's metadata. */
export interface Metadata {
  type: string
  help: string
  unit: string
}

/** A matcher as the editor tells it: its type is a number of the grammar, its value as written, without quotes. */
interface Matcher {
  type: number
  name: string
  value: string
}

/** What was asked for, with warnings that some of it lacks. */
interface Told {
  data: unknown
  warnings: string[]
}

type Fetch = (path: string, params: Params, signal: AbortSignal) => Promise<Told>

const fetchData: Fetch = (path, params, signal) => ask(path, params, { signal })

/** Bounds of what is asked for and kept; times are milliseconds. */
export const bounds = { names: 10_000, values: 1_000, entries: 200, fresh: 5 * 60_000, lacking: 5_000, past: 12 * 3600 }

// Who had no part in a list, or the warning itself where it tells of something else; that there are more is no lack of a child.
function lacksOf(warnings: string[]): string[] {
  return warnings
    .filter((w) => !w.startsWith('results truncated due to limit'))
    .map((w) => {
      const m = parseMissing(w)
      return m ? `${m.tier} ${m.name}` : w
    })
}

// A value as it is written between quotes of one of three kinds, which the editor does not tell: it is taken for one with
// escapes if these are all right, or else for a raw one, in which a backslash is itself.
function literal(written: string): string {
  const escaped = /^(?:[^\\]|\\(?:[abfnrtv\\'"]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}))*$/s
  if (!escaped.test(written)) return JSON.stringify(written)
  const text = written.replace(/\\.|"/gs, (s) => (s === '"' ? '\\"' : s === "\\'" ? "'" : s))
  return `"${text.replaceAll('\n', '\\n')}"`
}

/**
 * What the editor completes from: names, labels and values of this tier. Lists
 * are bounded, kept for some minutes, and fetched once however often they are
 * asked for; what is no longer wanted is aborted. Nothing throws: a completion
 * that fails is empty. A list that
 * lacks what some child has is used, kept for seconds only, and told of.
 */
export class Completions {
  private readonly cache = new Map<string, { at: number; fresh: number; value: Promise<Told | undefined> }>()
  private readonly running = new Map<string, { key: string; abort: AbortController }>()
  private metadata: Record<string, Metadata[]> = {}
  private readonly fetch: Fetch
  private readonly now: () => number
  /** Matchers that all lists are restricted to, as PromQL writes them. */
  scope = ''
  /** The operator of a matcher's type; set by who knows the grammar. */
  operator: (type: number) => string = () => '='
  private lacking: readonly string[] = []
  private readonly listeners = new Set<() => void>()

  constructor(fetch: Fetch = fetchData, now: () => number = Date.now) {
    this.fetch = fetch
    this.now = now
  }

  async metricNames(prefix = ''): Promise<string[]> {
    const match = this.scope ? [`{${this.scope},__name__=~".+"}`] : undefined
    const all = await this.list('names', '/api/v1/label/__name__/values', { 'match[]': match, limit: bounds.names })
    if (all.length < bounds.names || prefix.length < 2) return all
    // More names than are fetched at once: those that go on from what is written.
    const start = `{${this.scope ? this.scope + ',' : ''}__name__=~${JSON.stringify(escapeRegex(prefix) + '.*')}}`
    return this.list('prefix', '/api/v1/label/__name__/values', { 'match[]': [start], limit: bounds.values })
  }

  async labelNames(metric?: string): Promise<string[]> {
    return this.list('labels', '/api/v1/labels', { 'match[]': this.match(metric), limit: bounds.values })
  }

  async labelValues(label: string, metric?: string, matchers: Matcher[] = []): Promise<string[]> {
    return this.list('values', `/api/v1/label/${encodeURIComponent(label)}/values`, {
      // The value being written must not restrict what it is completed from.
      'match[]': this.match(
        metric,
        matchers.filter((m) => m.name !== label),
      ),
      limit: bounds.values,
    })
  }

  /** What is known of metrics by now: it is fetched beside, since names must not wait for it. */
  async metricMetadata(): Promise<Record<string, Metadata[]>> {
    void this.once('metadata', '/api/v1/metadata', { limit: bounds.names }).then((m) => {
      const data = m?.data
      if (data && typeof data === 'object' && !Array.isArray(data)) this.metadata = data as Record<string, Metadata[]>
    })
    return this.metadata
  }

  async series(): Promise<Map<string, string>[]> {
    return []
  }

  async flags(): Promise<Record<string, string>> {
    return {}
  }

  /** The children that had no part in the newest list of names, labels or values: what it does not have may exist. */
  readonly lacks = (): readonly string[] => this.lacking

  /** Calls f whenever lacks tells another thing, until the returned function is called. */
  readonly subscribe = (f: () => void): (() => void) => {
    this.listeners.add(f)
    return () => this.listeners.delete(f)
  }

  /** Ends all that is under way. */
  destroy(): void {
    for (const r of this.running.values()) r.abort.abort()
    this.running.clear()
  }

  private match(metric = '', matchers: Matcher[] = []): string[] | undefined {
    const list = matchers
      .filter((m) => m.value !== '')
      .map((m) => `${labelName(m.name)}${this.operator(m.type)}${literal(m.value)}`)
    if (this.scope) list.push(this.scope)
    if (metric !== '') list.unshift(`__name__=${JSON.stringify(metric)}`)
    return list.length > 0 ? [`{${list.join(',')}}`] : undefined
  }

  private async list(kind: string, path: string, params: Params): Promise<string[]> {
    // Rounded, so that the same question stays the same for some minutes.
    const start = Math.floor((this.now() / 1000 - bounds.past) / 300) * 300
    const got = await this.once(kind, path, { ...params, start })
    if (!got) return []
    this.tell(lacksOf(got.warnings))
    return Array.isArray(got.data) ? (got.data as string[]) : []
  }

  private tell(lacking: string[]): void {
    if (lacking.join('\n') === this.lacking.join('\n')) return
    this.lacking = lacking
    for (const f of this.listeners) f()
  }

  /** Fetches, or returns what was fetched; ends another fetch of the same kind, which nobody waits for any more. */
  private async once(kind: string, path: string, params: Params): Promise<Told | undefined> {
    const key = path + JSON.stringify(params)
    const kept = this.cache.get(key)
    if (kept && this.now() - kept.at < kept.fresh) return kept.value
    const old = this.running.get(kind)
    if (old && old.key !== key) old.abort.abort()
    const abort = new AbortController()
    this.running.set(kind, { key, abort })
    const value: Promise<Told | undefined> = this.fetch(path, params, abort.signal).then(
      (told) => {
        // Who does not answer now may do so in a moment; but not every key that is pressed may ask everybody.
        if (lacksOf(told.warnings).length > 0) entry.fresh = bounds.lacking
        return told
      },
      () => {
        // A failure is not kept, so that the next key asks again.
        if (this.cache.get(key)?.value === value) this.cache.delete(key)
        return undefined
      },
    )
    this.cache.delete(key)
    const entry = { at: this.now(), fresh: bounds.fresh, value }
    this.cache.set(key, entry)
    for (const first of this.cache.keys()) {
      if (this.cache.size <= bounds.entries) break
      this.cache.delete(first)
    }
    return value
  }
}
