import { Text } from '@mantine/core'
import { useSyncExternalStore } from 'react'
import type { Completions } from './completion.ts'

/** That what the editor proposes is not all there is; nothing if it is. */
export function Lacking({ completions }: { completions: Completions }) {
  const lacks = useSyncExternalStore(completions.subscribe, completions.lacks)
  if (lacks.length === 0) return null
  const shown = lacks.slice(0, 3).join('; ')
  return (
    <Text size="xs" c="dimmed" role="status" title={lacks.join('\n')}>
      Proposals are incomplete, without an answer of: {shown}
      {lacks.length > 3 && ` and ${lacks.length - 3} more`}. A name that is not proposed may exist.
    </Text>
  )
}
