import { Group, Loader, Progress, Text } from '@mantine/core'
import { useEffect, useState } from 'react'

/** Shows after a moment that something is being waited for, for how long already, and how far it is if that is known (0 to 1). */
export function Loading({ what, done }: { what: string; done?: number }) {
  const [seconds, setSeconds] = useState(0)
  useEffect(() => {
    const begun = performance.now()
    const id = setInterval(() => setSeconds((performance.now() - begun) / 1000), 300)
    return () => clearInterval(id)
  }, [])
  // What comes at once should not flash.
  if (seconds < 0.3) return <div aria-busy="true" style={{ minHeight: 36 }} />
  return (
    <div role="status" aria-live="polite" aria-busy="true">
      <Group gap="xs" py={6}>
        <Loader size="xs" />
        <Text size="sm" c="dimmed">
          {what} … {seconds.toFixed(1)} s
        </Text>
      </Group>
      {done !== undefined && <Progress value={done * 100} size="xs" aria-label={what} />}
    </div>
  )
}
