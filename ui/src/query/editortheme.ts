import { HighlightStyle } from '@codemirror/language'
import { EditorView } from '@codemirror/view'
import { tags } from '@lezer/highlight'

const mono = 'var(--mantine-font-family-monospace)'
const line = '1px solid var(--mantine-color-default-border)'
const raised = 'var(--mantine-color-default)'
const chosen = 'light-dark(#cfe8ef, #12485a)'

/** The editor's frame and pop-ups, in the colours of the page; light and dark follow the page by themselves. */
export const frame = EditorView.theme({
  '&': {
    border: line,
    borderRadius: 'var(--mantine-radius-sm)',
    backgroundColor: 'var(--mantine-color-default)',
    color: 'var(--mantine-color-text)',
    fontSize: '13.5px',
  },
  '&.cm-focused': { outline: '2px solid var(--mantine-primary-color-filled)', outlineOffset: '-1px' },
  '.cm-scroller': { fontFamily: mono, maxHeight: '40vh', lineHeight: '1.5' },
  '.cm-content': { padding: '7px 2px', caretColor: 'var(--mantine-color-text)' },
  '.cm-cursor': { borderLeftColor: 'var(--mantine-color-text)' },
  '.cm-placeholder': { color: 'var(--mantine-color-dimmed)', fontFamily: 'var(--mantine-font-family)' },
  '.cm-content ::selection, .cm-content::selection': { backgroundColor: 'light-dark(#b5d8f7, #2f5f86)' },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'light-dark(#dcdcdc, #555)' },
  '&.cm-focused .cm-nonmatchingBracket': { backgroundColor: 'light-dark(#ffd6d6, #6b2424)' },
  '.cm-tooltip': { backgroundColor: raised, color: 'var(--mantine-color-text)', border: line, zIndex: '250' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: mono, maxHeight: '20em', maxWidth: 'min(760px, 92vw)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '2px 10px', display: 'flex', gap: '16px' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]': {
    backgroundColor: chosen,
    color: 'var(--mantine-color-text)',
  },
  '.cm-completionLabel': { flex: '1', overflow: 'hidden', textOverflow: 'ellipsis', lineHeight: '1.5' },
  '.cm-completionDetail': { fontStyle: 'normal', color: 'var(--mantine-color-dimmed)', marginLeft: '0' },
  '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '700' },
  '.cm-tooltip.cm-completionInfo': { padding: '6px 10px', maxWidth: '360px', fontFamily: 'var(--mantine-font-family)' },
  '.cm-diagnostic': { padding: '4px 10px' },
})

/** Colours of expressions; each has a contrast of 4.5 to 1 at least. */
export const highlighting = HighlightStyle.define([
  { tag: tags.number, color: 'light-dark(#0b6b45, #63d9a5)' },
  { tag: tags.string, color: 'light-dark(#a02020, #f5a8a0)' },
  { tag: [tags.keyword, tags.modifier, tags.function(tags.variableName)], color: 'light-dark(#00629b, #62c1f2)' },
  { tag: tags.labelName, color: 'light-dark(#7a3e00, #f0b072)' },
  { tag: tags.invalid, color: 'light-dark(#c00000, #ff7b72)' },
  { tag: tags.comment, color: 'light-dark(#5f6670, #9aa4af)', fontStyle: 'italic' },
])
