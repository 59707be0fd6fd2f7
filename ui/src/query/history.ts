import { store, stored } from '../app/settings.tsx'

/** An expression that was run in this browser, and when last, in milliseconds. */
export interface Past {
  expr: string
  at: number
}

/** How many are kept. */
export const maxHistory = 200

const key = 'queries'

/** The expressions that were run in this browser, newest first. */
export function history(): Past[] {
  const list = stored<unknown>(key, [])
  if (!Array.isArray(list)) return []
  return list.filter((p): p is Past => typeof p?.expr === 'string' && typeof p?.at === 'number').slice(0, maxHistory)
}

/** Puts an expression at the front of a history; what is there already moves. */
export function remembered(list: Past[], expr: string, at: number): Past[] {
  const text = expr.trim()
  if (text === '' || text.length > 20_000) return list
  return [{ expr: text, at }, ...list.filter((p) => p.expr !== text)].slice(0, maxHistory)
}

/** Has this browser remember that an expression was run. */
export function remember(expr: string): void {
  store(key, remembered(history(), expr, Date.now()))
}

/** Forgets all. */
export function forget(): void {
  store(key, [])
}

/** Goes through a history as a shell does: back by up, and forward by down to what was being written. */
export class Recall {
  private at = -1
  private draft = ''
  private readonly list: () => string[]

  constructor(list: () => string[]) {
    this.list = list
  }

  /** What an arrow brings, given what is shown; undefined if there is nothing further. */
  step(way: 'older' | 'newer', shown: string): string | undefined {
    const list = this.list()
    if (this.at >= 0 && shown !== list[this.at]) this.at = -1
    if (this.at < 0) {
      if (way === 'newer') return undefined
      this.draft = shown
    }
    let next = this.at + (way === 'older' ? 1 : -1)
    // What is shown already is no step.
    if (way === 'older' && list[next] === shown) next++
    if (next >= list.length) return undefined
    this.at = Math.max(next, -1)
    return next < 0 ? this.draft : list[next]
  }
}
