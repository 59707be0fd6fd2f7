import { AppShell, Box, Burger, Group } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { Suspense, type ComponentType } from 'react'
import { Navigate, Route, Routes, useLocation } from 'react-router'
import { aliases, pages } from '../pages.ts'
import { Loading } from '../parts/Loading.tsx'
import { Boundary } from './Boundary.tsx'
import { Brand, Controls } from './Header.tsx'
import { Lost } from './Lost.tsx'
import { Nav } from './Nav.tsx'
import { screens } from './screens.ts'

/** The frame of all pages. */
export function App() {
  const [opened, { toggle, close }] = useDisclosure(false)
  const { pathname } = useLocation()
  return (
    <AppShell
      header={{ height: 48 }}
      navbar={{ width: 168, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding={0}
    >
      <AppShell.Header>
        <Group h="100%" px="sm" justify="space-between" wrap="nowrap" gap="xs">
          <Group gap="xs" wrap="nowrap" style={{ minWidth: 0 }}>
            <Burger
              opened={opened}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label="Pages"
              aria-expanded={opened}
            />
            <Brand />
          </Group>
          <Controls />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p={6}>
        <Nav onLeave={close} />
      </AppShell.Navbar>
      <AppShell.Main component="div">
        <Boundary page={pathname}>
          <Suspense
            fallback={
              <Box p="md">
                <Loading what="loading the page" />
              </Box>
            }
          >
            <Pages />
          </Suspense>
        </Boundary>
      </AppShell.Main>
    </AppShell>
  )
}

function Pages() {
  const { search, hash } = useLocation()
  const to = (path: string) => <Navigate replace to={{ pathname: '/' + path, search, hash }} />
  return (
    <Routes>
      <Route path="/" element={to('query')} />
      {Object.entries(aliases).map(([from, path]) => (
        <Route key={from} path={'/' + from} element={to(path)} />
      ))}
      {pages.map(({ path }) => {
        const Screen = screens[path] as ComponentType
        return <Route key={path} path={'/' + path} element={<Screen />} />
      })}
      <Route path="*" element={<Lost />} />
    </Routes>
  )
}
