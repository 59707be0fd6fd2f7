import { labelName } from '../parts/Labels.tsx'
import type { Scope } from './urlstate.ts'

/** Escapes a value so that a regular expression of PromQL (RE2) matches it alone. */
export function escapeRegex(value: string): string {
  return value.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** The matchers that a scope adds, as PromQL writes them: '' for none. */
export function matcherText(scope: Scope): string {
  return Object.entries(scope)
    .filter(([, values]) => values.length > 0)
    .map(([name, values]) =>
      values.length === 1
        ? `${labelName(name)}=${JSON.stringify(values[0])}`
        : `${labelName(name)}=~${JSON.stringify(values.map(escapeRegex).join('|'))}`,
    )
    .join(',')
}
