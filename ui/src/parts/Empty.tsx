import { Paper, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'

/** Says why there is nothing here, and how something comes to be. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Paper withBorder p="lg" ta="center" role="note">
      <Title order={2} size="h5" mb={4}>
        {title}
      </Title>
      <Text component="div" size="sm" c="dimmed" maw={640} mx="auto">
        {children}
      </Text>
    </Paper>
  )
}
