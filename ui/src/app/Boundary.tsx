import { Component, type ReactNode } from 'react'
import { Failure } from '../parts/Failure.tsx'

/** Keeps an error of one page from taking the frame with it. */
export class Boundary extends Component<{ children: ReactNode }, { error?: unknown }> {
  override state: { error?: unknown } = {}

  static getDerivedStateFromError(error: unknown) {
    return { error }
  }

  override render() {
    if (this.state.error === undefined) return this.props.children
    // A page that was built anew has other files; only a reload finds them.
    return <Failure what="This page failed" error={this.state.error} retry={() => location.reload()} />
  }
}
