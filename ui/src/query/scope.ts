import type { SyntaxNode } from '@lezer/common'
import { parse } from './grammar.ts'
import { matcherText } from './scopetext.ts'
import type { Scope } from './urlstate.ts'

/** The expression could not be read, so that nothing may be said of its selectors. */
export class ScopeError extends Error {}

// The second argument of info says which labels are taken over, and selects nothing of the answer.
function choosesLabels(selector: SyntaxNode): boolean {
  const body = selector.parent
  const call = body?.parent
  if (body?.name !== 'FunctionCallBody' || call?.name !== 'FunctionCall') return false
  if (call.getChild('FunctionIdentifier')?.firstChild?.name !== 'Info') return false
  return body.firstChild?.from !== selector.from
}

/** Where a selector takes further matchers: at, and whether a comma comes after them. */
function place(selector: SyntaxNode, expr: string): { at: number; braces: boolean; comma: boolean } {
  const list = selector.getChild('LabelMatchers')
  if (!list) return { at: selector.to, braces: true, comma: false }
  const rest = list.firstChild !== null || expr.slice(list.from + 1, list.to - 1).includes(',')
  return { at: list.from + 1, braces: false, comma: rest }
}

/** The expression with a scope's matchers in each of its selectors. Throws ScopeError if it cannot be parsed. */
export function scoped(expr: string, scope: Scope): string {
  const matchers = matcherText(scope)
  if (matchers === '' || expr.trim() === '') return expr
  const tree = parse(expr)
  const places: { at: number; text: string }[] = []
  tree.iterate({
    enter(ref) {
      if (ref.type.isError) throw new ScopeError(`it cannot be read at character ${ref.from + 1}`)
      if (ref.name !== 'VectorSelector' || choosesLabels(ref.node)) return
      const p = place(ref.node, expr)
      places.push({ at: p.at, text: p.braces ? `{${matchers}}` : matchers + (p.comma ? ',' : '') })
    },
  })
  let out = ''
  let from = 0
  for (const p of places.sort((a, b) => a.at - b.at)) {
    out += expr.slice(from, p.at) + p.text
    from = p.at
  }
  return out + expr.slice(from)
}
