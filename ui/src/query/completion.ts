import { ask, type Params } from '../api/client.ts'
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

type Fetch = <T>(path: string, params: Params, signal: AbortSignal) => Promise<T>

const fetchData: Fetch = async (path, params, signal) => (await ask(path, params, { signal })).data as never

/** Bounds of what is asked for and kept; times are milliseconds. */
export const bounds = { names: 10_000, values: 1_000, entries: 200, fresh: 5 * 60_000, past: 12 * 3600 }

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
 * that fails is empty.
 */
export class Completions {
  private readonly cache = new Map<string, { at: number; value: Promise<unknown> }>()
  private readonly running = new Map<string, { key: string; abort: AbortController }>()
  private metadata: Record<string, Metadata[]> = {}
  private readonly fetch: Fetch
  private readonly now: () => number
  /** Matchers that all lists are restricted to, as PromQL writes them. */
  scope = ''
  /** The operator of a matcher's type; set by who knows the grammar. */
  operator: (type: number) => string = () => '='

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
      if (m && typeof m === 'object' && !Array.isArray(m)) this.metadata = m as Record<string, Metadata[]>
    })
    return this.metadata
  }

  async series(): Promise<Map<string, string>[]> {
    return []
  }

  async flags(): Promise<Record<string, string>> {
    return {}
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
    return Array.isArray(got) ? (got as string[]) : []
  }

  /** Fetches, or returns what was fetched; ends another fetch of the same kind, which nobody waits for any more. */
  private async once(kind: string, path: string, params: Params): Promise<unknown> {
    const key = path + JSON.stringify(params)
    const kept = this.cache.get(key)
    if (kept && this.now() - kept.at < bounds.fresh) return kept.value
    const old = this.running.get(kind)
    if (old && old.key !== key) old.abort.abort()
    const abort = new AbortController()
    this.running.set(kind, { key, abort })
    const value = this.fetch<unknown>(path, params, abort.signal).catch(() => {
      // A failure is not kept, so that the next key asks again.
      if (this.cache.get(key)?.value === value) this.cache.delete(key)
      return undefined
    })
    this.cache.delete(key)
    this.cache.set(key, { at: this.now(), value })
    for (const first of this.cache.keys()) {
      if (this.cache.size <= bounds.entries) break
      this.cache.delete(first)
    }
    return value
  }
}
