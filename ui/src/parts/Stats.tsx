import { Group, Paper, Text } from '@mantine/core'
import type { ReactNode } from 'react'

/** A number that matters, with what it is. */
export interface Stat {
  label: string
  value: ReactNode
  /** What it means in more words; shown on hover and to screen readers. */
  hint?: string
}

/** A row of numbers that wraps on narrow screens. */
export function Stats({ stats }: { stats: Stat[] }) {
  return (
    <Group gap="xs" mb="md" component="dl" m={0}>
      {stats.map((s) => (
        <Paper key={s.label} withBorder px="sm" py={6} title={s.hint} style={{ minWidth: 96 }}>
          <Text component="dt" size="xs" c="dimmed">
            {s.label}
          </Text>
          <Text component="dd" m={0} fw={600} style={{ fontVariantNumeric: 'tabular-nums' }}>
            {s.value}
          </Text>
        </Paper>
      ))}
    </Group>
  )
}
