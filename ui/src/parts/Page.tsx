import { Box, Group, Text, Title } from '@mantine/core'
import { useEffect, type ReactNode } from 'react'
import { pageOf } from '../pages.ts'

// Wider than this, in pixels, the two ends of a line are too far apart to be read as one.
const readable = 2000

/** A page: its title, the one question that it answers, what can be done on it, and the rest. */
export function Page({
  path,
  title,
  actions,
  children,
}: {
  path: string
  title?: string
  actions?: ReactNode
  children: ReactNode
}) {
  const info = pageOf(path)
  useEffect(() => {
    document.title = `${title ?? info.title} · Pando`
  }, [title, info.title])
  return (
    <Box component="main" p={{ base: 'sm', sm: 'md' }} id="main" maw={info.wide ? undefined : readable}>
      <Group justify="space-between" align="flex-end" mb="md" gap="sm">
        <div>
          <Title order={1} size="h3">
            {title ?? info.title}
          </Title>
          <Text size="sm" c="dimmed">
            {info.question}
          </Text>
        </div>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Box>
  )
}
