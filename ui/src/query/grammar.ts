import type { Tree } from '@lezer/common'
import { LanguageType, promQLLanguage } from '@prometheus-io/codemirror-promql'

/** The language of expressions, for editors. */
export const language = promQLLanguage(LanguageType.PromQL)

/** The syntax tree of an expression; of one that is wrong it has error nodes. */
export function parse(expr: string): Tree {
  return language.parser.parse(expr)
}

/** Whether an expression can be read without an error. */
export function readable(expr: string): boolean {
  if (expr.trim() === '') return false
  let ok = true
  parse(expr).iterate({
    enter(n) {
      if (n.type.isError) ok = false
      return ok
    },
  })
  return ok
}

const operators: Record<string, string> = { EqlSingle: '=', Neq: '!=', EqlRegex: '=~', NeqRegex: '!~' }

/** The operator that a node type of the grammar stands for. */
export function operatorOf(type: number): string {
  return operators[language.parser.nodeSet.types[type]?.name ?? ''] ?? '='
}
