import type { Params } from '../api/client.ts'
import { optionParams, readOptions, type Options } from '../api/options.ts'
import type { QueryRow } from '../api/queries.ts'
import { readMoment } from '../format/moments.ts'
import { parseDuration, promDuration, type Zone } from '../format/times.ts'
import { formatTime } from '../query/urlstate.ts'

export const tabs = ['plan', 'empty', 'leaf', 'audit'] as const
export type Tab = (typeof tabs)[number]

/** What the page is asked, as its address has it. Times are texts as people write them; see readMoment. */
export interface WhyState {
  expr: string
  /** A past query instead of an expression. */
  id: string
  range: boolean
  time: string
  start: string
  end: string
  step: string
  /** The query is to be evaluated, not only planned. */
  analyze: boolean
  tab: Tab
  /** The leaf asked about. */
  not: string
  options: Options
}

export function readState(q: URLSearchParams): WhyState {
  const get = (name: string) => q.get(name) ?? ''
  const tab = tabs.find((t) => t === get('tab')) ?? (get('not') ? 'leaf' : 'plan')
  return {
    expr: get('expr'),
    id: get('id'),
    range: get('start') !== '' || get('end') !== '' || get('step') !== '',
    time: get('time'),
    start: get('start'),
    end: get('end'),
    step: get('step'),
    analyze: get('analyze') === '1',
    tab,
    not: get('not'),
    options: readOptions(get),
  }
}

/** What of a state makes it another question: all but what is looked at of the answer. */
export function questionOf(s: WhyState): string {
  return writeState({ ...s, tab: 'plan', not: '', analyze: false }).toString()
}

/** The address of a state, without what is as it would be anyway. */
export function writeState(s: WhyState): URLSearchParams {
  const q = new URLSearchParams()
  const put = (name: string, v: string) => v && q.set(name, v)
  put('id', s.id)
  if (!s.id) {
    put('expr', s.expr)
    if (s.range) for (const name of ['start', 'end', 'step'] as const) put(name, s[name])
    else put('time', s.time)
    if (s.analyze) q.set('analyze', '1')
  }
  if (s.tab !== (s.not ? 'leaf' : 'plan')) q.set('tab', s.tab)
  put('not', s.not)
  for (const [name, v] of Object.entries(optionParams(s.options))) q.set(name, v)
  return q
}

/** What the API is asked: an expression and its times in seconds since the epoch; step is 0 for an instant. */
export interface Asked {
  expr: string
  start: number
  end: number
  step: number
  options: Options
}

export type Checked =
  { ok: true; asked: Asked } | { ok: false; field: 'expr' | 'time' | 'start' | 'end' | 'step'; error: string }

const refuse = (field: 'expr' | 'time' | 'start' | 'end' | 'step', error: string): Checked => ({
  ok: false,
  field,
  error,
})

const forms = 'write now, -1h, 03:12, 2026-11-22 03:12, or seconds since 1970'

/** Reads the times of a state; now, in milliseconds, stands for those that are not given. */
export function check(s: WhyState, zone: Zone, now: number): Checked {
  const expr = s.expr.trim()
  if (!expr) return refuse('expr', 'No expression is given')
  if (!s.range) {
    const t = readMoment(s.time || 'now', zone, now)
    return t === undefined
      ? refuse('time', `This is no time: ${forms}`)
      : { ok: true, asked: { expr, start: t, end: t, step: 0, options: s.options } }
  }
  const end = readMoment(s.end || 'now', zone, now)
  if (end === undefined) return refuse('end', `This is no time: ${forms}`)
  const start = readMoment(s.start || '-1h', zone, now)
  if (start === undefined) return refuse('start', `This is no time: ${forms}`)
  if (end < start) return refuse('end', 'The end is before the start')
  const step = s.step ? parseDuration(s.step) : Math.max(1, Math.round((end - start) / 250))
  if (!step) return refuse('step', 'This is no duration: write 15s, 1m or seconds')
  return { ok: true, asked: { expr, start, end, step, options: s.options } }
}

// Milliseconds are what the API keeps of a time.
const seconds = (t: number) => String(Math.round(t * 1000) / 1000)

/** The parameters of query, query_range, explain and analyze. */
export function paramsOf(a: Asked): Params {
  const times: Params =
    a.step === 0 ? { time: seconds(a.end) } : { start: seconds(a.start), end: seconds(a.end), step: seconds(a.step) }
  return { query: a.expr, ...times, ...optionParams(a.options) }
}

/** The options of a past query. */
export const optionsOf = (q: QueryRow): Options => readOptions((name) => q.options?.[name])

/** The state that asks the same again as a past query did. */
export function rerun(q: QueryRow): WhyState {
  const base = { ...readState(new URLSearchParams()), expr: q.query, options: optionsOf(q) }
  const start = unix(q.start)
  const end = unix(q.end)
  if (q.step > 0 && start && end) return { ...base, range: true, start, end, step: seconds(q.step) }
  return { ...base, time: end }
}

function unix(t: string | undefined): string {
  const ms = t === undefined ? NaN : Date.parse(t)
  return Number.isNaN(ms) ? '' : seconds(ms / 1000)
}

/** The state that asks a question again, of the same times. */
export function stateOf(a: Asked): WhyState {
  const base = { ...readState(new URLSearchParams()), expr: a.expr, options: a.options }
  if (a.step === 0) return { ...base, time: seconds(a.end) }
  return { ...base, range: true, start: seconds(a.start), end: seconds(a.end), step: seconds(a.step) }
}

/** The address of the Query page for a question, with Prometheus' names. */
export function queryAddress(a: Asked): string {
  const q = new URLSearchParams({ 'g0.expr': a.expr, 'g0.tab': a.step ? 'graph' : 'table' })
  const end = formatTime(Math.round(a.end * 1000))
  if (a.step) {
    q.set('g0.range_input', promDuration(Math.max(a.end - a.start, a.step)))
    q.set('g0.end_input', end)
    q.set('g0.res_type', 'custom')
    q.set('g0.res_step', seconds(a.step))
  } else {
    q.set('g0.moment_input', end)
  }
  for (const [name, v] of Object.entries(optionParams(a.options))) q.set(name, v)
  return '/query?' + q.toString()
}

/** The address of this page for a question. */
export function whyAddress(s: WhyState): string {
  return '/why?' + writeState(s).toString()
}
