import { Badge, Button, Group, Loader, Text, Tooltip } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { ask, type Params } from '../api/client.ts'
import { duration, whole } from '../format/numbers.ts'
import { missingOf } from '../api/stats.ts'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import { childrenOf, countable, headOf, textOf, type Node } from './ast.ts'
import { labelCounts, type LabelCount } from './labelcounts.ts'
import classes from './Query.module.css'
import type { Result } from './results.ts'

interface Props {
  expr: string
  /** Parameters of a query beside the expression: its time and options. */
  params: Params
  /** Adds the scope to a part that is asked about. */
  scoped: (expr: string) => string
  onPick: (expr: string) => void
}

/** The parts of an expression, each with how many series it results in when someone asks. */
export function TreeView({ expr, params, scoped, onPick }: Props) {
  const [all, setAll] = useState(false)
  const parsed = useQuery({
    queryKey: ['parse', expr],
    queryFn: async ({ signal }) => (await ask<Node>('/api/v1/parse_query', { query: expr }, { signal })).data,
    enabled: expr.trim() !== '',
    staleTime: Infinity,
  })
  if (parsed.error) return <Failure what="The expression could not be read" error={parsed.error} />
  if (!parsed.data) return expr.trim() === '' ? null : <Loading what="reading the expression" />
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text size="sm" c="dimmed">
          What the expression is made of. Count asks how many series a part results in, and by which labels they differ.
        </Text>
        <Button size="compact-xs" variant="default" onClick={() => setAll(true)} disabled={all}>
          Count all parts
        </Button>
      </Group>
      <ul className={classes.tree}>
        <Part key={expr} node={parsed.data} params={params} scoped={scoped} all={all} onPick={onPick} />
      </ul>
    </div>
  )
}

interface PartProps {
  node: Node
  params: Params
  scoped: (expr: string) => string
  all: boolean
  onPick: (expr: string) => void
}

function Part({ node, params, scoped, all, onPick }: PartProps) {
  const [wanted, setWanted] = useState(false)
  const query = countable(node)
  const children = childrenOf(node)
  return (
    <li>
      <div className={classes.node}>
        <Tooltip label={textOf(node)} multiline maw={500} disabled={children.length === 0}>
          <code style={{ background: 'none', fontWeight: children.length > 0 ? 600 : 400 }}>{headOf(node)}</code>
        </Tooltip>
        {query !== undefined &&
          (wanted || all ? (
            <Counted query={scoped(query)} params={params} />
          ) : (
            <Button
              size="compact-xs"
              variant="subtle"
              onClick={() => setWanted(true)}
              aria-label={`Count ${textOf(node)}`}
            >
              count
            </Button>
          ))}
        {query !== undefined && children.length > 0 && (
          <Button
            size="compact-xs"
            variant="subtle"
            color="gray"
            onClick={() => onPick(textOf(node))}
            aria-label={`ask alone: ${textOf(node)}`}
          >
            ask alone
          </Button>
        )}
      </div>
      {children.length > 0 && (
        <ul className={classes.tree}>
          {children.map((c, i) => (
            <Part key={i} node={c} params={params} scoped={scoped} all={all} onPick={onPick} />
          ))}
        </ul>
      )}
    </li>
  )
}

function Counted({ query, params }: { query: string; params: Params }) {
  const got = useQuery({
    queryKey: ['count', query, params],
    retry: false,
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const a = await ask<Result>('/api/v1/query', { ...params, query }, { signal })
      const r = a.data
      const series = r.resultType === 'vector' || r.resultType === 'matrix' ? r.result : []
      return {
        what:
          r.resultType === 'vector' || r.resultType === 'matrix'
            ? `${whole(r.result.length)} series`
            : `a ${r.resultType}`,
        labels: labelCounts(series.map((s) => s.metric)),
        missing: missingOf(r.stats?.pando, a.warnings).length,
        took: a.took,
      }
    },
  })
  if (got.error)
    return (
      <Text size="xs" c="red">
        failed: {got.error.message}
      </Text>
    )
  if (!got.data) return <Loader size={14} aria-label="counting" />
  return (
    <Group gap={6}>
      <Text size="xs" fw={600}>
        {got.data.what}
      </Text>
      {got.data.missing > 0 && (
        <Badge color="red" size="xs">
          incomplete: {got.data.missing} missing
        </Badge>
      )}
      <Text size="xs" c="dimmed">
        {duration(got.data.took / 1000)}
      </Text>
      {got.data.labels.slice(0, 8).map((l) => (
        <Label key={l.name} label={l} />
      ))}
      {got.data.labels.length > 8 && (
        <Text size="xs" c="dimmed">
          and {got.data.labels.length - 8} more labels
        </Text>
      )}
    </Group>
  )
}

function Label({ label }: { label: LabelCount }) {
  return (
    <Tooltip
      multiline
      maw={400}
      label={label.top.map(([v, n]) => `${v} (${n})`).join('\n') + (label.values > label.top.length ? '\n…' : '')}
      style={{ whiteSpace: 'pre-wrap' }}
    >
      <Text size="xs" c="dimmed" tabIndex={0}>
        {label.name}: {whole(label.values)}
      </Text>
    </Tooltip>
  )
}
