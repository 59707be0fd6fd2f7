import { Textarea } from '@mantine/core'
import { Component, lazy, Suspense, type ComponentProps, type ReactNode } from 'react'
import classes from './Query.module.css'

const Editor = lazy(() => import('./Editor.tsx'))

type Props = ComponentProps<typeof Editor>

/** The field for an expression: a plain one until the editor has come, and for good if it does not. */
export function Expression(props: Props) {
  const plain = <Plain {...props} />
  return (
    <Fallback instead={plain}>
      <Suspense fallback={plain}>
        <Editor {...props} />
      </Suspense>
    </Fallback>
  )
}

function Plain({ value, onChange, onRun, label }: Props) {
  return (
    <Textarea
      aria-label={label}
      value={value}
      onChange={(e) => onChange(e.currentTarget.value)}
      onKeyDown={(e) => {
        if (e.key !== 'Enter' || e.shiftKey) return
        e.preventDefault()
        onRun(value)
      }}
      autosize
      minRows={1}
      maxRows={12}
      spellCheck={false}
      placeholder="Expression"
      styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 13.5, paddingBlock: 7 } }}
      className={classes.expression}
    />
  )
}

class Fallback extends Component<{ children: ReactNode; instead: ReactNode }, { failed: boolean }> {
  override state = { failed: false }

  static getDerivedStateFromError() {
    return { failed: true }
  }

  override render() {
    return this.state.failed ? this.props.instead : this.props.children
  }
}
