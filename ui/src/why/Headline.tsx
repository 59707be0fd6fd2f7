import { Group, List, Paper, Text } from '@mantine/core'
import { IconCircleCheck, IconListDetails, IconPuzzle } from '@tabler/icons-react'
import { levelColor } from '../parts/Health.tsx'
import type { Coverage } from './coverage.ts'

const icons = { good: IconCircleCheck, bad: IconPuzzle, warn: IconPuzzle, off: IconListDetails }

/** How whole the answer is, before anything else. */
export function Headline({ coverage: c }: { coverage: Coverage }) {
  const Icon = icons[c.level]
  return (
    <Paper
      withBorder
      px="sm"
      py="xs"
      mb="sm"
      role={c.level === 'bad' ? 'alert' : 'status'}
      style={{ borderLeft: `4px solid ${levelColor[c.level]}` }}
      data-level={c.level}
    >
      <Group gap="xs" wrap="nowrap" align="flex-start">
        <Icon size={20} style={{ color: levelColor[c.level], flex: 'none', marginTop: 2 }} aria-hidden="true" />
        <div style={{ minWidth: 0 }}>
          <Text fw={600} style={{ overflowWrap: 'anywhere' }}>
            {c.headline}
          </Text>
          {c.details.length > 0 && (
            <List size="sm" c="dimmed" listStyleType="none" style={{ overflowWrap: 'anywhere' }}>
              {c.details.map((d) => (
                <List.Item key={d}>{d}</List.Item>
              ))}
            </List>
          )}
        </div>
      </Group>
    </Paper>
  )
}
