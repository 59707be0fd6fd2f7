import { Anchor, Box } from '@mantine/core'
import { Link, useLocation } from 'react-router'
import { Empty } from '../parts/Empty.tsx'

/** What is shown for a path that is no page. */
export function Lost() {
  const { pathname } = useLocation()
  return (
    <Box component="main" p="md">
      <Empty title="There is no such page">
        {pathname} is not a page of the console.{' '}
        <Anchor component={Link} to="/query">
          Ask a query
        </Anchor>{' '}
        instead.
      </Empty>
    </Box>
  )
}
