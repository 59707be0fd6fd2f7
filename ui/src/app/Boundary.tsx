import { Component, type ReactNode } from 'react'
import { Failure } from '../parts/Failure.tsx'

interface Props {
  /** Which page is shown: an error is of one page alone, and another one is tried when this changes. */
  page: string
  children: ReactNode
}

interface State {
  page: string
  error?: unknown
}

/** Keeps an error of one page from taking the frame, or the next page, with it. */
export class Boundary extends Component<Props, State> {
  override state: State = { page: this.props.page }

  static getDerivedStateFromError(error: unknown) {
    return { error }
  }

  static getDerivedStateFromProps(props: Props, state: State): State | null {
    return props.page === state.page ? null : { page: props.page, error: undefined }
  }

  override render() {
    if (this.state.error === undefined) return this.props.children
    // A page that was built anew has other files; only a reload finds them.
    return <Failure what="This page failed" error={this.state.error} retry={() => location.reload()} />
  }
}
