import type { UseQueryResult } from '@tanstack/react-query'
import { Failure } from './Failure.tsx'
import { Stale } from './Stale.tsx'

interface Props {
  /** What is read, such as "The rules". */
  what: string
  of: Pick<UseQueryResult, 'data' | 'error' | 'dataUpdatedAt' | 'refetch'>
}

/**
 * Why something could not be read, if it could not; nothing otherwise. What was told before is still shown then, and this
 * says how old it is: a page that goes blank when its tier stumbles hides the last that was known.
 */
export function Unread({ what, of }: Props) {
  if (of.error === null) return null
  const retry = () => void of.refetch()
  if (of.data === undefined) return <Failure what={`${what} could not be read`} error={of.error} retry={retry} />
  return <Stale what={what} error={of.error} at={of.dataUpdatedAt} retry={retry} />
}
