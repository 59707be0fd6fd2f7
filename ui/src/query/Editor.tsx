import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  completionStatus,
  startCompletion,
} from '@codemirror/autocomplete'
import { defaultKeymap, history as undo, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands'
import {
  bracketMatching,
  forceParsing,
  indentOnInput,
  syntaxHighlighting,
  syntaxTreeAvailable,
} from '@codemirror/language'
import { lintKeymap } from '@codemirror/lint'
import { EditorState, Prec } from '@codemirror/state'
import { EditorView, highlightSpecialChars, keymap, placeholder, type KeyBinding } from '@codemirror/view'
import { PromQLExtension } from '@prometheus-io/codemirror-promql'
import { useEffect, useRef, type RefObject } from 'react'
import type { Completions } from './completion.ts'
import { frame, highlighting } from './editortheme.ts'
import { operatorOf } from './grammar.ts'
import classes from './Query.module.css'
import { history, Recall } from './history.ts'

interface Props {
  value: string
  onChange: (text: string) => void
  onRun: (text: string) => void
  completions: Completions
  label: string
  /** Set to what puts a text where the cursor is. */
  insert: RefObject<((text: string) => void) | undefined>
}

/** An editor of PromQL expressions: Enter runs, Shift+Enter begins a line, arrows beyond the first and the last line go through the history. */
export default function Editor(props: Props) {
  const parent = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(undefined)
  const current = useRef(props)
  current.current = props

  useEffect(() => {
    if (!parent.current) return
    current.current.completions.operator = operatorOf
    const promql = linted(new PromQLExtension()).setComplete({
      remote: current.current.completions,
      maxMetricsMetadata: 20_000,
    })
    const v = new EditorView({
      parent: parent.current,
      state: EditorState.create({ doc: current.current.value, extensions: extensions(promql, current) }),
    })
    view.current = v
    current.current.insert.current = (text) => {
      v.dispatch(v.state.replaceSelection(text))
      v.focus()
    }
    return () => v.destroy()
  }, [])

  useEffect(() => {
    const v = view.current
    if (v && v.state.doc.toString() !== props.value) replace(v, props.value)
  }, [props.value])

  return <div ref={parent} className={classes.expression} />
}

// On a busy machine a tree may not be finished when it is looked at: what is not
// parsed yet would be underlined as wrong.
function linted(promql: PromQLExtension): PromQLExtension {
  const lint = promql.getLinter().promQL()
  return promql.setLinter({
    promQL: () => (view) => {
      const end = view.state.doc.length
      if (!syntaxTreeAvailable(view.state, end)) forceParsing(view, end, 500)
      return syntaxTreeAvailable(view.state, end) ? lint(view) : []
    },
  })
}

function replace(v: EditorView, text: string): void {
  v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: text }, selection: { anchor: text.length } })
}

function extensions(promql: PromQLExtension, current: RefObject<Props>) {
  const recall = new Recall(() => history().map((p) => p.expr))
  return [
    frame,
    highlightSpecialChars(),
    undo(),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    autocompletion({
      maxRenderedOptions: 100,
      icons: false,
      activateOnTypingDelay: 40,
      tooltipClass: () => 'pando-complete',
    }),
    EditorView.lineWrapping,
    syntaxHighlighting(highlighting),
    promql.asExtension(),
    placeholder('Expression, such as  sum by (zone) (rate(http_requests_total[5m]))'),
    EditorView.contentAttributes.of({ 'aria-label': current.current.label, 'aria-keyshortcuts': 'Enter' }),
    // Whoever comes here is about to write: the first key must not wait for the tree.
    EditorView.domEventHandlers({ focus: () => void current.current.completions.metricNames() }),
    EditorView.updateListener.of((u) => {
      if (u.docChanged) current.current.onChange(u.state.doc.toString())
    }),
    Prec.highest(keymap.of(keys(current, recall))),
    keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
  ]
}

function keys(current: RefObject<Props>, recall: Recall): KeyBinding[] {
  const run = (v: EditorView) => {
    current.current.onRun(v.state.doc.toString())
    return true
  }
  const goThrough = (way: 'older' | 'newer') => (v: EditorView) => {
    const line = v.state.doc.lineAt(v.state.selection.main.head).number
    if (completionStatus(v.state) === 'active' || line !== (way === 'older' ? 1 : v.state.doc.lines)) return false
    const next = recall.step(way, v.state.doc.toString())
    if (next === undefined) return false
    replace(v, next)
    return true
  }
  return [
    { key: 'Enter', run: (v) => (completionStatus(v.state) === 'active' && acceptCompletion(v)) || run(v) },
    { key: 'Mod-Enter', run },
    { key: 'Shift-Enter', run: insertNewlineAndIndent },
    { key: 'Tab', run: (v) => completionStatus(v.state) === 'active' && acceptCompletion(v) },
    { key: 'ArrowUp', run: goThrough('older') },
    { key: 'ArrowDown', run: goThrough('newer') },
    { key: 'Ctrl-Space', run: startCompletion },
  ]
}
