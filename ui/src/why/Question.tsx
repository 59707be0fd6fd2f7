import { Alert, Button, Group, Text } from '@mantine/core'
import { IconStethoscope } from '@tabler/icons-react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useMemo, useRef } from 'react'
import { askAnalysis, askPlan } from '../api/explain.ts'
import { cancelQuery } from '../api/queries.ts'
import type { QueryStats } from '../api/stats.ts'
import { useSettings } from '../app/settings.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import { check, paramsOf, questionOf, type Asked, type WhyState } from './params.ts'
import { Result } from './Result.tsx'
import { toldNow } from './told.ts'

interface Props {
  state: WhyState
  /** Rises with each press of a button: asks anew, and lets "now" be now. */
  round: number
  change: (s: Partial<WhyState>) => void
}

/** An expression: its plan at once, its evaluation when asked for. */
export function Question({ state, round, change }: Props) {
  const { zone } = useSettings()
  const question = questionOf(state)
  const checked = useMemo(
    () => check(state, zone, Date.now()),
    // Only what is asked; neither the tab nor the leaf moves "now".
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [question, zone, round],
  )
  if (!checked.ok)
    return (
      <Failure
        what="The address of this page cannot be read"
        error={checked.error}
        todo="Correct it in the form above, and press Explain."
      />
    )
  return <Asking key={round} asked={checked.asked} state={state} change={change} />
}

function newId(): string {
  const b = crypto.getRandomValues(new Uint8Array(8))
  return 'why-' + Array.from(b, (n) => n.toString(16).padStart(2, '0')).join('')
}

const once = { retry: false, staleTime: Infinity, gcTime: 60_000 } as const

function Asking({ asked, state, change }: { asked: Asked } & Omit<Props, 'round'>) {
  const queries = useQueryClient()
  const params = useMemo(() => paramsOf(asked), [asked])
  // Each evaluation has an id of its own, by which it can be stopped.
  const id = useRef('')
  const plan = useQuery({
    ...once,
    queryKey: ['why', 'plan', params],
    queryFn: ({ signal }) => askPlan<QueryStats>(params, signal),
    enabled: !state.analyze,
  })
  const key = ['why', 'analysis', params]
  const analysis = useQuery({
    ...once,
    queryKey: key,
    queryFn: ({ signal }) => askAnalysis<QueryStats>(params, (id.current = newId()), signal),
    enabled: state.analyze,
  })
  const q = state.analyze ? analysis : plan
  const told = useMemo(
    () => q.data && toldNow(q.data.data, asked, state.analyze, q.data.warnings, q.data.infos),
    [q.data, asked, state.analyze],
  )
  const stop = () => {
    // The connection's end cancels it as well; proxies may keep that to themselves.
    void cancelQuery(id.current).catch(() => {})
    void queries.cancelQueries({ queryKey: key })
  }
  if (q.isFetching) {
    return (
      <Group gap="md">
        <Loading what={state.analyze ? 'evaluating over all tiers' : 'asking all tiers for their plans'} />
        {state.analyze && (
          <Button size="compact-sm" variant="default" onClick={stop}>
            Stop
          </Button>
        )}
      </Group>
    )
  }
  if (q.error)
    return (
      <Failure
        what={state.analyze ? 'Not evaluated' : 'Not explained'}
        error={q.error}
        retry={() => void q.refetch()}
      />
    )
  if (!told) {
    return (
      <Alert color="gray" title="Stopped">
        <Group justify="space-between">
          <Text size="sm">The evaluation was stopped in all tiers.</Text>
          <Button size="compact-sm" variant="default" onClick={() => change({ analyze: false })}>
            Show the plan
          </Button>
        </Group>
      </Alert>
    )
  }
  return (
    <Result
      told={told}
      state={state}
      change={change}
      more={state.analyze ? undefined : <Offer analyze={() => change({ analyze: true })} />}
    />
  )
}

function Offer({ analyze }: { analyze: () => void }) {
  return (
    <Group gap="sm" mb="sm">
      <Button size="compact-sm" onClick={analyze} leftSection={<IconStethoscope size={14} />}>
        Analyze
      </Button>
      <Text size="sm" c="dimmed">
        evaluates it, and tells what each part took, who failed and who was asked in vain.
      </Text>
    </Group>
  )
}
