import { ActionIcon, Group } from '@mantine/core'
import { IconHelpCircle, IconTerminal2, IconX } from '@tabler/icons-react'
import type { MouseEvent } from 'react'
import { Link } from 'react-router'
import { progressText, type QueryRow } from '../api/queries.ts'
import { bytes, count, duration } from '../format/numbers.ts'
import type { Column } from '../parts/DataTable.tsx'
import { Health, type Level } from '../parts/Health.tsx'
import { When } from '../parts/When.tsx'
import { queryAddress } from '../why/params.ts'
import { askedOf } from '../why/told.ts'
import type { Group as QueryGroup } from './filter.ts'

const levels: Record<QueryRow['state'], Level> = { active: 'good', finished: 'good', failed: 'bad', canceled: 'off' }

/** What became of a query; an answer without a child says so. */
export function State({ q }: { q: QueryRow }) {
  if (q.state === 'finished' && q.failed > 0) return <Health level="warn">partial</Health>
  return <Health level={levels[q.state] ?? 'off'}>{q.state === 'active' ? 'running' : q.state}</Health>
}

const stay = (e: MouseEvent) => e.stopPropagation()

const lost = (q: QueryRow) => q.progress?.failed ?? q.failed

// Clients without a name are addresses.
const who = (q: QueryRow) => q.client.replace(/^address /, '')

/** The columns of queries; what an active query has not come to yet is not known. */
export function queryColumns(cancel: (q: QueryRow) => void): Column<QueryRow>[] {
  const ended = (q: QueryRow, n: number) => (q.state === 'active' ? undefined : n)
  return [
    {
      key: 'state',
      title: 'State',
      width: '88px',
      render: (q) => <State q={q} />,
      sort: (q) => (q.failed && q.state === 'finished' ? 'partial' : q.state),
    },
    {
      key: 'query',
      title: 'Expression',
      width: 'minmax(200px, 1fr)',
      render: (q) => (
        <code title={q.query} style={{ fontSize: 'inherit' }}>
          {q.query}
        </code>
      ),
      sort: (q) => q.query,
    },
    {
      key: 'took',
      title: 'Took',
      numeric: true,
      width: '76px',
      hint: 'How long it took, or has taken so far',
      render: (q) => duration(q.duration),
      sort: (q) => q.duration,
    },
    {
      key: 'bytes',
      title: 'Bytes',
      numeric: true,
      width: '80px',
      hint: 'What came from all tiers below',
      render: (q) => bytes(ended(q, q.bytes)),
      sort: (q) => ended(q, q.bytes),
    },
    {
      key: 'series',
      title: 'Series',
      numeric: true,
      width: '68px',
      hint: 'In the answer',
      render: (q) => count(ended(q, q.series)),
      sort: (q) => ended(q, q.series),
    },
    {
      key: 'asked',
      title: 'Asked',
      numeric: true,
      width: '60px',
      hint: 'Children that were asked, of all tiers below; of a running query, how many of this tier’s own have answered, of those asked',
      render: (q) =>
        q.progress ? (
          <span title={progressText(q.progress)}>
            {count(q.progress.answered)}/{count(q.progress.asked)}
          </span>
        ) : (
          count(ended(q, q.asked))
        ),
      sort: (q) => q.progress?.asked ?? ended(q, q.asked),
    },
    {
      key: 'pruned',
      title: 'Pruned',
      numeric: true,
      width: '66px',
      hint: 'Children that were not asked, since they hold nothing that matches',
      render: (q) => count(ended(q, q.pruned)),
      sort: (q) => ended(q, q.pruned),
    },
    {
      key: 'failed',
      title: 'Failed',
      numeric: true,
      width: '62px',
      hint: 'Children that are missing from the answer',
      render: (q) =>
        lost(q) > 0 ? <Health level="bad">{count(lost(q))}</Health> : count(q.progress ? 0 : ended(q, 0)),
      sort: (q) => (q.progress ? lost(q) : ended(q, q.failed)),
    },
    {
      key: 'client',
      title: 'Client',
      width: '120px',
      render: (q) => <span title={q.client}>{who(q)}</span>,
      sort: (q) => q.client,
    },
    {
      key: 'begun',
      title: 'Begun',
      numeric: true,
      width: '150px',
      render: (q) => <When t={q.begun} />,
      sort: (q) => Date.parse(q.begun),
    },
    {
      key: 'open',
      title: 'Open',
      width: '84px',
      render: (q) => (
        <Group gap={4} wrap="nowrap" onClick={stay}>
          <ActionIcon
            component={Link}
            to={'/why?id=' + encodeURIComponent(q.id)}
            size="sm"
            variant="subtle"
            aria-label={`Why: ${q.query}`}
            title="Why was it so?"
          >
            <IconHelpCircle size={16} />
          </ActionIcon>
          <ActionIcon
            component={Link}
            to={queryAddress(askedOf(q))}
            size="sm"
            variant="subtle"
            aria-label={`Open in Query: ${q.query}`}
            title="Open in Query"
          >
            <IconTerminal2 size={16} />
          </ActionIcon>
          {q.state === 'active' && (
            <ActionIcon
              size="sm"
              variant="subtle"
              color="red"
              aria-label={`Cancel: ${q.query}`}
              title="Cancel it"
              onClick={() => cancel(q)}
            >
              <IconX size={16} />
            </ActionIcon>
          )}
        </Group>
      ),
    },
  ]
}

/** The columns of queries that were put together. */
export function groupColumns(by: 'expression' | 'client'): Column<QueryGroup>[] {
  const name = (g: QueryGroup) => (by === 'client' ? g.name || 'nobody known' : g.name)
  return [
    {
      key: 'name',
      title: by === 'client' ? 'Client' : 'Expression',
      width: 'minmax(240px, 1fr)',
      render: (g) => (by === 'client' ? name(g) : <code title={g.name}>{g.name}</code>),
      sort: name,
    },
    {
      key: 'times',
      title: 'Times',
      numeric: true,
      width: '70px',
      render: (g) => count(g.queries),
      sort: (g) => g.queries,
    },
    {
      key: 'total',
      title: 'All took',
      numeric: true,
      width: '90px',
      hint: 'The sum over all of them',
      render: (g) => duration(g.seconds),
      sort: (g) => g.seconds,
    },
    {
      key: 'slowest',
      title: 'Slowest',
      numeric: true,
      width: '84px',
      render: (g) => duration(g.slowest?.duration),
      sort: (g) => g.slowest?.duration,
    },
    {
      key: 'bytes',
      title: 'Bytes',
      numeric: true,
      width: '90px',
      hint: 'The sum over all of them',
      render: (g) => bytes(g.bytes),
      sort: (g) => g.bytes,
    },
    {
      key: 'series',
      title: 'Series',
      numeric: true,
      width: '76px',
      hint: 'Of the largest answer',
      render: (g) => count(g.series),
      sort: (g) => g.series,
    },
    {
      key: 'failed',
      title: 'Failed',
      numeric: true,
      width: '70px',
      render: (g) => count(g.failed),
      sort: (g) => g.failed,
    },
    {
      key: 'partial',
      title: 'Partial',
      numeric: true,
      width: '74px',
      hint: 'Answers from which a child was missing',
      render: (g) => count(g.partial),
      sort: (g) => g.partial,
    },
    {
      key: 'others',
      title: by === 'client' ? 'Expressions' : 'Clients',
      numeric: true,
      width: '96px',
      render: (g) => count(g.others),
      sort: (g) => g.others,
    },
    {
      key: 'last',
      title: 'Last',
      numeric: true,
      width: '150px',
      render: (g) => <When t={g.last} />,
      sort: (g) => Date.parse(g.last),
    },
  ]
}
