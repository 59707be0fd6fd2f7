import { Anchor, Group, Text } from '@mantine/core'
import { startTransition, useCallback, useMemo, useState } from 'react'
import { Link, useSearchParams } from 'react-router'
import { Empty } from '../parts/Empty.tsx'
import { Page } from '../parts/Page.tsx'
import { Form } from './Form.tsx'
import { readState, whyAddress, writeState, type WhyState } from './params.ts'
import { Past } from './Past.tsx'
import { Question } from './Question.tsx'

const examples = ['sum by (cluster) (up)', 'topk(3, rate(http_requests_total{zone="eu"}[5m]))', 'up{job="no-such-job"}']

/** Why a query is slow, empty or partial. */
export default function WhyPage() {
  const [search, setSearch] = useSearchParams()
  const state = useMemo(() => readState(search), [search])
  const [round, setRound] = useState(0)
  const change = useCallback(
    (part: Partial<WhyState>) => setSearch(writeState({ ...state, ...part })),
    [state, setSearch],
  )
  // The address is drawn as a transition: were the round drawn before it, the old question would be asked once more.
  const submit = (s: WhyState) =>
    startTransition(() => {
      setSearch(writeState(s))
      setRound((n) => n + 1)
    })
  return (
    <Page path="why">
      <Form state={state} submit={submit} />
      {state.id ? (
        <Past key={state.id} state={state} change={change} />
      ) : state.expr ? (
        <Question state={state} round={round} change={change} />
      ) : (
        <Teach />
      )}
    </Page>
  )
}

function Teach() {
  const base = readState(new URLSearchParams())
  return (
    <Empty title="Give an expression, or open a query from Queries">
      <Text size="sm" mb="xs">
        Explain tells whom each tier would ask, what is pruned by which evidence, and what cannot be pushed down,
        without evaluating anything. Analyze evaluates and tells what each part took. Then ask which matcher leaves an
        answer empty, why a leaf was not asked, or let an audit compare the answer with those made without any shortcut.
      </Text>
      <Group justify="center" gap="sm">
        {examples.map((expr) => (
          <Anchor key={expr} component={Link} size="sm" to={whyAddress({ ...base, expr })}>
            <code>{expr}</code>
          </Anchor>
        ))}
      </Group>
    </Empty>
  )
}
