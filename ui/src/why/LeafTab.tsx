import { Alert, Code, Select, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { ask } from '../api/client.ts'
import { askPlan, type Edge } from '../api/explain.ts'
import { optionParams } from '../api/options.ts'
import { leavesOf, useTree, type Tree } from '../api/tree.ts'
import { count, duration, numeric, whole } from '../format/numbers.ts'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health, type Level } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { missingNames } from './asker.ts'
import type { Result } from './audit.ts'
import { paramsOf, type Asked } from './params.ts'
import { pinnedCount, selectorsOf, type Parsed } from './selectors.ts'
import type { Told } from './told.ts'
import { findLeaf, follow, reached, type Finding, type Place } from './whynot.ts'
import { title } from './words.ts'

/** Why a leaf was not asked, or what it has. */
export function LeafTab({ told, not, change }: { told: Told; not: string; change: (not: string) => void }) {
  const { data: tree, error } = useTree()
  const names = useMemo(() => (tree ? leavesOf(tree).map((l) => l.name) : []), [tree])
  const found = useMemo(() => (tree && not ? findLeaf(tree, not) : []), [tree, not])
  if (error && !tree) return <Failure what="The tree cannot be read" error={error} />
  if (!tree) return <Loading what="reading the tree" />
  if (tree.self.tier === 'leaf')
    return (
      <Empty title="This tier is a leaf">It answers by itself; ask the root or a zone why a leaf is not asked.</Empty>
    )
  const place = found.length === 1 ? found[0] : undefined
  return (
    <>
      <Select
        label="Leaf"
        description="Why is it not asked, or what does it have of this query?"
        placeholder="choose or type a name"
        data={names}
        value={place?.node.name ?? null}
        onChange={(v) => change(v ?? '')}
        searchable
        clearable
        limit={100}
        maw={420}
        mb="sm"
        nothingFoundMessage="no leaf of that name has ever registered, or it was forgotten"
      />
      {not && found.length === 0 && (
        <Alert color="red" title={`No leaf below ${title(tree.self.tier, tree.self.name)} has a name like ${not}`}>
          It has never registered, or was forgotten.{' '}
          {names.length
            ? `There are: ${names.slice(0, 20).join('; ')}${names.length > 20 ? ` and ${names.length - 20} more` : ''}.`
            : 'There are none.'}
        </Alert>
      )}
      {found.length > 1 && (
        <Alert color="yellow" title={`${not} may be any of ${found.length} leaves`}>
          {found
            .slice(0, 20)
            .map((p) => p.node.name)
            .join('; ')}
        </Alert>
      )}
      {place && <OfLeaf key={place.node.name} told={told} place={place} tree={tree} />}
    </>
  )
}

const levels: Record<Finding['outcome'], Level> = { asked: 'good', 'ruled out': 'off', failed: 'bad', unknown: 'warn' }

function OfLeaf({ told, place, tree }: { told: Told; place: Place; tree: Tree }) {
  const params = useMemo(() => paramsOf(told.asked), [told.asked])
  const x = told.explanation
  // The record of a past query has this tier's part alone, or nothing: the way to the leaf is then that of now.
  const own = useMemo(() => (x ? follow(x, place.path) : []), [x, place])
  const lacks = !x || own.some((f) => f.outcome === 'unknown' && f.text.includes('does not explain itself'))
  const plan = useQuery({
    queryKey: ['why', 'plan', params],
    queryFn: ({ signal }) => askPlan(params, signal),
    enabled: lacks,
    retry: false,
    staleTime: Infinity,
  })
  if (lacks && plan.error)
    return <Failure what="The plan cannot be told" error={plan.error} retry={() => void plan.refetch()} />
  if (lacks && !plan.data) return <Loading what="asking all tiers for their plans" />
  const now = lacks ? plan.data?.data.explanation : undefined
  const findings = now ? follow(now, place.path) : own
  const name = title('leaf', place.node.name)
  return (
    <Stack gap="sm">
      {lacks && (
        <Text size="sm" c="dimmed">
          The record does not tell of tiers below; this is the plan of the same query as it is now.
        </Text>
      )}
      {place.node.state === 'missing' && (
        <Alert color="red" title={`${name} is missing`}>
          {place.node.error || 'It is not connected.'} Answers that need it are partial, and say so.
        </Alert>
      )}
      <Text size="sm" fw={600}>
        {findings.length === 0
          ? 'Nothing of the query reads series, so nobody is asked.'
          : reached(findings, place.node.name)
            ? `${name} is asked.`
            : findings.some((f) => f.outcome === 'failed')
              ? `${name} was not reached.`
              : `${name} is not asked.`}
      </Text>
      <Stack gap={6} component="ul" m={0} p={0} style={{ listStyle: 'none' }}>
        {findings.map((f, i) => (
          <li key={i} style={{ overflowWrap: 'anywhere' }}>
            <Code style={{ whiteSpace: 'normal' }}>{f.query}</Code>
            <div style={{ paddingLeft: 12 }}>
              <Health level={levels[f.outcome]}>
                {f.by} {f.text}
                {f.outcome === 'asked' && f.edge && answered(f.edge)}
              </Health>
            </div>
          </li>
        ))}
      </Stack>
      {reached(findings, place.node.name) && place.node.state !== 'missing' && (
        <Has asked={told.asked} place={place} tree={tree} />
      )}
    </Stack>
  )
}

function answered(e: Edge): string {
  if (!e.timeNs) return ''
  const empty = e.empty ? ', asked in vain' : ''
  return `, and got ${count(e.series ?? 0)} series, ${count(e.samples ?? 0)} samples in ${duration(e.timeNs / 1e9)}${empty}`
}

interface Held {
  selector: string
  series: number
  missing: string[]
}

async function held(asked: Asked, place: Place, signal: AbortSignal): Promise<Held[]> {
  const parsed = await ask<Parsed>('/api/v1/parse_query', { query: asked.expr }, { signal })
  const out: Held[] = []
  for (const s of selectorsOf(parsed.data, asked.start * 1000, asked.end * 1000)) {
    const query = pinnedCount(s, place.node.labels ?? {})
    const params = { ...optionParams(asked.options), query, time: asked.end, hints: 'off' }
    const { data, warnings } = await ask<Result>('/api/v1/query', params, { signal })
    const first = data.resultType === 'vector' ? data.result[0]?.value : undefined
    out.push({ selector: s.text, series: first ? numeric(first[1]) : 0, missing: missingNames(warnings) })
  }
  return out
}

// How many series the leaf has for each selector, asked without hints.
function Has({ asked, place, tree }: { asked: Asked; place: Place; tree: Tree }) {
  const { data, error, refetch } = useQuery({
    queryKey: ['why', 'held', asked, place.node.name],
    queryFn: ({ signal }) => held(asked, place, signal),
    retry: false,
    staleTime: Infinity,
  })
  const labels = JSON.stringify(place.node.labels)
  const shared = leavesOf(tree).filter((l) => JSON.stringify(l.labels) === labels).length > 1
  if (error) return <Failure what="The leaf’s series cannot be counted" error={error} retry={() => void refetch()} />
  if (!data) return <Loading what="counting its series, without hints" />
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>
        {shared ? 'Leaves with its labels have, asked without hints:' : 'It has, asked without hints:'}
      </Text>
      {data.map((h) => (
        <Text key={h.selector} size="sm" component="div">
          <Health level={h.missing.length ? 'warn' : h.series ? 'good' : 'off'}>
            <b>{whole(h.series)}</b> series of{' '}
            <Code style={{ whiteSpace: 'normal', overflowWrap: 'anywhere' }}>{h.selector}</Code>
            {h.missing.length > 0 && ` (${h.missing.join(', ')} did not answer)`}
          </Health>
        </Text>
      ))}
    </Stack>
  )
}
