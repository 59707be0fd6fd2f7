import { optionParams, readOptions, type Options } from '../api/options.ts'
import { parseDuration, promDuration } from '../format/times.ts'
import type { Resolution } from './steps.ts'

/** What a panel shows below its expression. */
export type Tab = 'table' | 'graph' | 'tree'

export type Display = 'lines' | 'stacked' | 'heatmap'

/** All of a panel that its address holds. */
export interface PanelState {
  expr: string
  tab: Tab
  /** Seconds. */
  range: number
  /** Milliseconds since the epoch: the end of the graph, and the time of the table; null is now. */
  end: number | null
  resolution: Resolution
  display: Display
  exemplars: boolean
  /** Lines are drawn on a logarithmic axis. */
  log: boolean
}

/** Values of identity labels that are asked; a label without values is not restricted. */
export type Scope = Record<string, string[]>

export interface PageState {
  panels: PanelState[]
  options: Options
  scope: Scope
}

export function newPanel(expr = ''): PanelState {
  return {
    expr,
    tab: 'table',
    range: 3600,
    end: null,
    resolution: { type: 'auto', density: 'medium' },
    display: 'lines',
    exemplars: false,
    log: false,
  }
}

/** More panels than this are not read from an address. */
export const maxPanels = 32

const tabs: Record<string, Tab> = {
  '0': 'graph',
  '1': 'table',
  graph: 'graph',
  table: 'table',
  tree: 'tree',
  explain: 'tree',
}

/** Reads times as Prometheus writes them in addresses, 2026-11-22 16:05:09 in UTC; RFC3339 and Unix seconds are read as well. Null if it is none. */
export function parseTime(text: string): number | null {
  const t = text.trim()
  if (/^\d{9,}(\.\d+)?$/.test(t)) return Number(t) * 1000
  const m = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(:\d\d(?:\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(t)
  if (!m) return null
  const ms = Date.parse(`${m[1]}T${m[2] ?? '00:00'}${m[3] ?? ':00'}${m[4] ?? 'Z'}`)
  return Number.isNaN(ms) ? null : ms
}

/** A time as Prometheus writes it in addresses, in UTC; to the millisecond where it is not of a whole second. */
export function formatTime(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/(\.000)?Z$/, '')
}

function resolutionOf(get: (name: string) => string | null): Resolution {
  const step = Number(get('res_step'))
  const type = get('res_type')
  if ((type === 'fixed' || type === 'custom') && step > 0) return { type, step }
  const density = get('res_density')
  if (type === 'auto' && (density === 'low' || density === 'medium' || density === 'high'))
    return { type: 'auto', density }
  const legacy = get('step_input')
  const old = legacy === null ? undefined : parseDuration(legacy)
  if (type === null && old !== undefined && old > 0) return { type: 'custom', step: old }
  return { type: 'auto', density: 'medium' }
}

function decodePanel(get: (name: string) => string | null): PanelState {
  const p = newPanel(get('expr') ?? '')
  p.tab = tabs[get('tab') ?? ''] ?? (get('show_tree') === '1' ? 'tree' : p.tab)
  p.range = parseDuration(get('range_input') ?? '') || p.range
  p.end = parseTime(get('end_input') ?? '') ?? parseTime(get('moment_input') ?? '')
  p.resolution = resolutionOf(get)
  if (get('stacked') === '1') p.display = 'stacked'
  const display = get('display_mode')
  if (display === 'lines' || display === 'stacked' || display === 'heatmap') p.display = display
  p.exemplars = get('show_exemplars') === '1'
  p.log = get('log_scale') === '1'
  return p
}

/** Reads the page from the search of an address, as Prometheus or this page writes it. There is a panel at least. */
export function decode(search: string): PageState {
  const q = new URLSearchParams(search)
  const panels: PanelState[] = []
  for (let i = 0; i < maxPanels && q.has(`g${i}.expr`); i++) panels.push(decodePanel((name) => q.get(`g${i}.${name}`)))
  if (panels.length === 0) panels.push(newPanel())
  const scope: Scope = {}
  for (const [name, value] of q) {
    if (name.startsWith('scope.') && value !== '') (scope[name.slice(6)] ??= []).push(value)
  }
  return {
    panels,
    scope,
    options: readOptions((name) => q.get(name)),
  }
}

/** Writes the search of the page's address, with Prometheus' names for panels and the API's for options. */
export function encode(s: PageState): string {
  const q = new URLSearchParams()
  s.panels.forEach((p, i) => {
    const put = (name: string, value: string) => q.append(`g${i}.${name}`, value)
    put('expr', p.expr)
    put('tab', p.tab)
    put('range_input', promDuration(p.range))
    if (p.end !== null) {
      put('end_input', formatTime(p.end))
      put('moment_input', formatTime(p.end))
    }
    put('res_type', p.resolution.type)
    if (p.resolution.type === 'auto') put('res_density', p.resolution.density)
    else put('res_step', String(p.resolution.step))
    put('display_mode', p.display)
    put('show_exemplars', p.exemplars ? '1' : '0')
    // Prometheus has no such name, and none is put where it says nothing.
    if (p.log) put('log_scale', '1')
  })
  for (const [name, values] of Object.entries(s.scope)) for (const v of values) q.append('scope.' + name, v)
  for (const [name, value] of Object.entries(optionParams(s.options))) q.set(name, value)
  return '?' + q.toString()
}
