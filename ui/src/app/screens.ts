import { lazy, type ComponentType } from 'react'

/** The component of each page, loaded when the page is opened. */
export const screens: Record<string, ComponentType> = {
  query: lazy(() => import('../query/QueryPage.tsx')),
  why: lazy(() => import('../why/WhyPage.tsx')),
  queries: lazy(() => import('../queries/QueriesPage.tsx')),
  planet: lazy(() => import('../planet/PlanetPage.tsx')),
  leaves: lazy(() => import('../leaves/LeavesPage.tsx')),
  leaf: lazy(() => import('../leaves/LeafPage.tsx')),
  hints: lazy(() => import('../hints/HintsPage.tsx')),
  rollups: lazy(() => import('../rollups/RollupsPage.tsx')),
  rollouts: lazy(() => import('../rollouts/RolloutsPage.tsx')),
  alerts: lazy(() => import('../parity/AlertsPage.tsx')),
  rules: lazy(() => import('../parity/RulesPage.tsx')),
  targets: lazy(() => import('../parity/TargetsPage.tsx')),
  config: lazy(() => import('../parity/ConfigPage.tsx')),
  flags: lazy(() => import('../parity/FlagsPage.tsx')),
  status: lazy(() => import('../parity/StatusPage.tsx')),
}
