/** Where the console's tier is served, with a slash at its end: the part of the path that a proxy may have put before. */
export const prefix: string = import.meta.env.PROD ? new URL(/* @vite-ignore */ '../', import.meta.url).pathname : '/'

/** What an endpoint said instead of an answer, or why none came. */
export class ApiError extends Error {
  /** The HTTP status, 0 if no answer came. */
  readonly status: number
  /** Prometheus' errorType, 'unreachable', or 'silent' if no answer came in the time given. */
  readonly type: string
  /** The body as it came, for endpoints that tell more than a text. */
  readonly body: unknown

  constructor(message: string, status: number, type: string, body?: unknown) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.type = type
    this.body = body
  }
}

/**
 * Milliseconds that a request which is made anew by itself may take. A tier that hangs keeps connections open and says nothing:
 * without a bound the page would wait for ever, and show what was true before as if it still were.
 */
export const pollTimeout = 15_000

/** The same for a member below, whose tiers have bounds of their own and tell who is slow. */
export const belowTimeout = 30_000

/** Parameters of a request; a list is sent as several of the same name, undefined and '' not at all. */
export type Params = Record<string, string | number | boolean | readonly string[] | undefined>

/** An answer with Prometheus' envelope taken off. */
export interface Answer<T> {
  data: T
  warnings: string[]
  infos: string[]
  /** The query's id, from X-Pando-Query-Id; empty for what is no query. */
  queryId: string
  /** Bytes of the body, before compression. */
  bytes: number
  /** Milliseconds from sending the request to having the body. */
  took: number
}

export interface RequestOptions {
  signal?: AbortSignal
  /** Milliseconds after which it is given up; without it a request may last as long as the tier lets it. */
  timeout?: number
  method?: 'GET' | 'POST' | 'DELETE'
  /** A JSON body, for POST. Without it parameters are sent as a form. */
  json?: unknown
  /** Headers beside those of the body. */
  headers?: Record<string, string>
}

interface Envelope {
  status?: string
  data?: unknown
  warnings?: string[]
  infos?: string[]
  errorType?: string
  error?: string
}

/** Encodes parameters as a query string, without a question mark. */
export function encode(params: Params): string {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === '') continue
    for (const v of Array.isArray(value) ? value : [value]) form.append(name, String(v))
  }
  return form.toString()
}

// Longer ones would be cut by proxies, or refused.
const longestAddress = 2000

interface Sent {
  response: Response
  text: string
  bytes: number
}

async function send(path: string, params: Params, o: RequestOptions): Promise<Sent> {
  const query = encode(params)
  // Queries may be posted as forms, which have no bound that matters.
  const post =
    o.method === 'POST' ||
    (!o.method &&
      query.length > longestAddress &&
      /\/(query|query_range|explain|analyze|series|labels|format_query|parse_query)$/.test(path))
  const form = post && o.json === undefined
  const init: RequestInit = { method: post ? 'POST' : (o.method ?? 'GET'), credentials: 'same-origin' }
  if (form) init.body = new URLSearchParams(query)
  init.headers = { ...o.headers }
  if (o.json !== undefined) {
    init.body = JSON.stringify(o.json)
    init.headers = { ...o.headers, 'Content-Type': 'application/json' }
  }
  const address = prefix + path.replace(/^\//, '') + (query && !form ? '?' + query : '')
  const bound = boundOf(o)
  if (bound.signal) init.signal = bound.signal
  try {
    const response = await fetch(address, init)
    // Counted as they come: a text has fewer letters than bytes wherever it is not ASCII.
    const body = await response.arrayBuffer()
    return { response, text: new TextDecoder().decode(body), bytes: body.byteLength }
  } catch (e) {
    if (o.signal?.aborted) throw e
    if (bound.signal?.aborted)
      throw new ApiError(`no answer from this tier within ${(o.timeout ?? 0) / 1000} s: it may hang`, 0, 'silent')
    throw new ApiError('no answer from this tier: the connection failed or was cut', 0, 'unreachable')
  } finally {
    bound.done()
  }
}

// What ends a request: its signal, or its time being over.
function boundOf({ signal, timeout }: RequestOptions): { signal: AbortSignal | undefined; done: () => void } {
  if (timeout === undefined) return { signal, done: () => {} }
  const end = new AbortController()
  const stop = () => end.abort(signal?.reason)
  const timer = setTimeout(() => end.abort(), timeout)
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop)
  const done = () => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
  return { signal: end.signal, done }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function failure(response: Response, text: string, body: unknown): ApiError {
  const e = (body ?? {}) as Envelope
  const message = e.error ?? (text.trim().slice(0, 500) || `${response.status} ${response.statusText}`)
  return new ApiError(message, response.status, e.errorType ?? '', body)
}

/** Asks an endpoint whose answers have Prometheus' envelope. Throws ApiError, or what the signal aborts with. */
export async function ask<T>(path: string, params: Params = {}, o: RequestOptions = {}): Promise<Answer<T>> {
  const begun = performance.now()
  const { response, text, bytes } = await send(path, params, o)
  const body = parsed(text)
  const e = (body ?? {}) as Envelope
  if (!response.ok || e.status !== 'success') throw failure(response, text, body)
  return {
    data: e.data as T,
    warnings: e.warnings ?? [],
    infos: e.infos ?? [],
    queryId: response.headers.get('X-Pando-Query-Id') ?? '',
    bytes,
    took: performance.now() - begun,
  }
}

/** Asks an endpoint whose answers are JSON without an envelope. Throws like ask. */
export async function askPlain<T>(path: string, params: Params = {}, o: RequestOptions = {}): Promise<T> {
  const { response, text } = await send(path, params, o)
  const body = parsed(text)
  if (!response.ok || body === undefined) throw failure(response, text, body)
  return body as T
}

/** Asks an endpoint whose answers are text. Throws like ask. */
export async function askText(path: string, params: Params = {}, o: RequestOptions = {}): Promise<string> {
  const { response, text } = await send(path, params, o)
  if (!response.ok) throw failure(response, text, parsed(text))
  return text
}
