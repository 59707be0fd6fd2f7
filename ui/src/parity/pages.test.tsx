import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { cleanup, render, screen } from '@testing-library/react'
import type { ReactNode } from 'react'
import { MemoryRouter } from 'react-router'
import { afterEach, expect, it, vi } from 'vitest'
import type { Tree } from '../api/tree.ts'
import { SettingsProvider } from '../app/settings.tsx'
import { Tier as HintsOf } from '../hints/HintsPage.tsx'
import { Rollups } from '../rollups/RollupsPage.tsx'
import { Planet } from './AlertsPage.tsx'
import { Rules } from './RulesPage.tsx'
import { Status } from './StatusPage.tsx'
import { Targets } from './TargetsPage.tsx'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

function show(page: ReactNode) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  render(
    <MantineProvider>
      <QueryClientProvider client={client}>
        <SettingsProvider>
          <MemoryRouter>{page}</MemoryRouter>
        </SettingsProvider>
      </QueryClientProvider>
    </MantineProvider>,
  )
  return client
}

/** Answers as a tier, whose answer to a path is data, or a refusal; returns the addresses that were asked. */
function tier(answer: (path: string) => { data: unknown } | { error: string; errorType: string }) {
  const asked: string[] = []
  vi.stubGlobal('fetch', (address: string) => {
    asked.push(address)
    const a = answer(address.split('?')[0] ?? '')
    const failed = 'error' in a
    const body = JSON.stringify({ status: failed ? 'error' : 'success', ...a })
    return Promise.resolve(new Response(body, { status: failed ? 502 : 200 }))
  })
  return asked
}

const target = {
  discoveredLabels: {},
  labels: { job: 'api' },
  scrapePool: 'pool-1',
  scrapeUrl: 'http://a/metrics',
  globalUrl: 'http://a/metrics',
  lastError: '',
  lastScrape: '2026-11-22T16:00:00Z',
  lastScrapeDuration: 0.01,
  health: 'up',
  scrapeInterval: '15s',
  scrapeTimeout: '10s',
}

// The first drawing in a process loads a lot; on a busy machine that takes its time.
const patience = 30_000

it(
  'targets are asked for without those that relabelling drops, and the page says so',
  async () => {
    const asked = tier(() => ({ data: { activeTargets: [target] } }))
    show(<Targets member="eu-1" />)
    await screen.findByText('pool-1', {}, { timeout: patience })
    expect(asked.map((a) => new URL(a, 'http://tier').searchParams.get('state'))).toEqual(['active'])
    expect(screen.getByText('without those that relabelling drops')).toBeTruthy()
  },
  patience,
)

const group = { name: 'group-1', file: 'rules.yml', rules: [], interval: 60, evaluationTime: 0.1 }
const rule = { type: 'recording', name: 'a:b', query: 'sum(up)', health: 'ok', evaluationTime: 0.1 }
const alert = { metric: { __name__: 'ALERTS', alertname: 'Down', alertstate: 'firing' }, value: [1, '1'] }
const leafless: Tree = {
  self: { name: 'root', tier: 'root', state: 'self', series: 0, samples: 0, leaves: 0 },
  children: [],
}

const rollup = {
  id: 'r',
  name: 'sum:up',
  expr: 'sum(up)',
  every: 60,
  for: 3600,
  lag: 1,
  absent: 0,
  partial: 0,
  unfit: 0,
}
const hintsOf = <HintsOf tier="" tree={leafless} child="" onChild={() => {}} />

it.each([
  ['rules', 'group-1', <Rules member="eu-1" />, { groups: [{ ...group, rules: [rule] }] }],
  ['targets', 'pool-1', <Targets member="eu-1" />, { activeTargets: [target] }],
  ['alerts', 'Filter alerts', <Planet tree={leafless} />, { result: [alert] }],
  [
    'runtime status',
    'Working directory',
    <Status member="eu-1" />,
    { startTime: '2026-11-22T16:00:00Z', headStats: {} },
  ],
  ['list of rollups', 'sum:up', <Rollups member="eu-1" />, { name: 'eu-1', tier: 'leaf', rules: [rollup] }],
  ['hints', 'This leaf offers no hint: hints are switched off here.', hintsOf, { tier: 'leaf', children: [] }],
] as const)(
  'the %s told last stays when the tier fails, with a note of their age',
  async (what, shown, page, data) => {
    let fails = false
    // Some answers come in an envelope, others without.
    tier(() => (fails ? { error: 'the leaf is away', errorType: 'member_missing' } : { ...leafless, ...data, data }))
    const client = show(page)
    const there = () => screen.queryByText(shown) ?? screen.queryByLabelText(shown)
    await vi.waitFor(() => expect(there()).toBeTruthy(), patience)
    expect(screen.queryByRole('alert')).toBeNull()
    fails = true
    await client.refetchQueries()
    const [note] = await screen.findAllByRole('alert', {}, { timeout: patience })
    expect(note?.textContent).toMatch(
      new RegExp(`^The ${what} could not be read again: this is as it was \\d+s ago.*away`),
    )
    expect(there()).toBeTruthy()
  },
  patience,
)

it(
  'rollups tell for whom points wait, and until when',
  async () => {
    const awaited = [
      { name: 'zone=eu,cluster=eu-2', since: 1_700_000_000, released: 1_700_086_400 },
      { name: 'zone=us', since: 0, released: 0 },
    ]
    tier(() => ({ name: 'eu', tier: 'zone', rules: [rollup], awaited, data: null }))
    show(<Rollups member="eu" />)
    const note = await screen.findByRole('alert', {}, { timeout: patience })
    expect(note.textContent).toContain('Not all children are there')
    expect(note.textContent).toMatch(
      /zone=eu,cluster=eu-2 is away since .*2023.*: points are made without it since .*2023/,
    )
    expect(note.textContent).toContain('zone=us has just gone: points wait for it')
  },
  patience,
)
