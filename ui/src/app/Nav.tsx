import { NavLink, ScrollArea, Text } from '@mantine/core'
import { Link, useLocation } from 'react-router'
import { pages, type PageInfo } from '../pages.ts'

const groups: { id: PageInfo['group']; title: string }[] = [
  { id: 'ask', title: 'Ask' },
  { id: 'planet', title: 'Planet' },
  { id: 'tier', title: 'This tier' },
]

/** The list of pages. */
export function Nav({ onLeave }: { onLeave: () => void }) {
  const { pathname } = useLocation()
  return (
    <ScrollArea component="nav" aria-label="Pages">
      {groups.map((g) => (
        <div key={g.id}>
          <Text size="xs" c="dimmed" px="sm" pt="xs" pb={2}>
            {g.title}
          </Text>
          {pages
            .filter((p) => p.group === g.id)
            .map((p) => (
              <NavLink
                key={p.path}
                component={Link}
                to={'/' + p.path}
                label={p.title}
                active={pathname === '/' + p.path}
                aria-current={pathname === '/' + p.path ? 'page' : undefined}
                onClick={onLeave}
                py={4}
                title={p.question}
              />
            ))}
        </div>
      ))}
    </ScrollArea>
  )
}
