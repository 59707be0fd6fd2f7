import { Anchor, Badge, Code, Group, Text, UnstyledButton } from '@mantine/core'
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react'
import { useMemo, useState, type CSSProperties, type ReactNode } from 'react'
import { Link } from 'react-router'
import type { Edge, Explanation } from '../api/explain.ts'
import { bytes, count, duration } from '../format/numbers.ts'
import { Health } from '../parts/Health.tsx'
import { When } from '../parts/When.tsx'
import classes from './PlanTree.module.css'
import { planRows, type Row } from './rows.ts'
import { counted, kindMeaning, oneLine, reason, splitReplica, title, verdictMeaning } from './words.ts'

/** A plan as a tree over all tiers: what each asks of whom, by which rule, and what became of it. */
export function PlanTree({ x }: { x: Explanation }) {
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set())
  const rows = useMemo(() => planRows(x, toggled), [x, toggled])
  const toggle = (key: string) =>
    setToggled((old) => {
      const next = new Set(old)
      if (!next.delete(key)) next.add(key)
      return next
    })
  const measured = (x.totalNs ?? 0) > 0
  return (
    <div className={classes.tree} role="treegrid" aria-label="Plan">
      {measured && (
        <div className={classes.head} role="row">
          <span role="columnheader">Plan</span>
          {['Time', 'Bytes', 'Series', 'Samples'].map((h) => (
            <span key={h} role="columnheader" className={classes.number}>
              {h}
            </span>
          ))}
        </div>
      )}
      {rows.map((r) => (
        <Line key={r.key + r.kind} row={r} whole={measured ? (x.totalNs ?? 0) : 0} toggle={() => toggle(r.key)} />
      ))}
    </div>
  )
}

function Line({ row, whole, toggle }: { row: Row; whole: number; toggle: () => void }) {
  const figures = whole > 0 ? figuresOf(row) : undefined
  const look = [classes.row, figures ? '' : classes.wide]
  if (row.kind === 'tier') look.push(classes.tier)
  if (row.kind === 'fragment') look.push(classes.fragment)
  if (row.kind === 'edge' && row.e.failed) look.push(classes.failed)
  return (
    <div className={look.join(' ')} role="row" aria-level={row.depth + 1} aria-expanded={row.open}>
      <div className={classes.what} role="gridcell" style={{ '--depth': row.depth } as CSSProperties}>
        {row.open === undefined ? (
          row.kind === 'edge' || row.kind === 'pruned' ? (
            <span className={classes.gap} />
          ) : null
        ) : (
          <button
            type="button"
            className={classes.opener}
            onClick={toggle}
            aria-label={row.open ? 'Close' : 'Open'}
            aria-expanded={row.open}
          >
            {row.open ? <IconChevronDown size={16} /> : <IconChevronRight size={16} />}
          </button>
        )}
        <div className={classes.text}>
          <What row={row} toggle={toggle} />
        </div>
      </div>
      {figures && <Figures {...figures} whole={whole} />}
    </div>
  )
}

interface Measured {
  ns: number | undefined
  own?: number | undefined
  bytes?: number | undefined
  series?: number | undefined
  samples?: number | undefined
}

function figuresOf(row: Row): Measured | undefined {
  if (row.kind === 'tier') return { ns: row.x.totalNs, series: row.x.series, samples: row.x.samples }
  if (row.kind !== 'edge') return undefined
  const { timeNs, bytes, series, samples } = row.e
  return { ns: timeNs, own: row.own, bytes: bytes ?? 0, series: series ?? 0, samples: samples ?? 0 }
}

function Figures({ ns, own, whole, ...m }: Measured & { whole: number }) {
  return (
    <>
      <div
        className={classes.time}
        role="gridcell"
        title={own === undefined ? undefined : `of which its own ${duration(own / 1e9)}`}
      >
        <span className={classes.label}>time</span>
        <span>{duration(ns === undefined ? undefined : ns / 1e9)}</span>
        {ns !== undefined && (
          <span
            className={classes.share}
            style={{ position: 'absolute', width: `${Math.min(100, (ns / whole) * 100)}%` }}
          />
        )}
      </div>
      {(
        [
          ['bytes', bytes(m.bytes)],
          ['series', count(m.series)],
          ['samples', count(m.samples)],
        ] as const
      ).map(([label, text]) => (
        <div key={label} className={classes.number} role="gridcell">
          <span className={classes.label}>{label}</span>
          {text}
        </div>
      ))}
    </>
  )
}

function What({ row, toggle }: { row: Row; toggle: () => void }) {
  switch (row.kind) {
    case 'tier':
      return (
        <>
          <b>{title(row.x.tier, row.x.name)}</b> <Query text={row.x.query} />
          <TierNotes x={row.x} />
        </>
      )
    case 'note':
      return (
        <Text span size="sm">
          <Text span size="sm" c="dimmed">
            {row.note}
          </Text>{' '}
          {row.expr && <Query text={row.expr} />}
          {row.expr && row.text && ': '}
          {row.text}
        </Text>
      )
    case 'fragment':
      return (
        <>
          <Text span size="sm" fw={600}>
            {row.f.kind === 'raw' ? row.f.id : `fragment ${row.f.id}`}
          </Text>{' '}
          <Badge size="sm" variant="default" tt="none" title={kindMeaning(row.f.kind)}>
            {row.f.kind}
          </Badge>{' '}
          <Query text={row.f.query} />
          {row.f.why && (
            <Text size="xs" c="dimmed">
              because {row.f.why}
            </Text>
          )}
        </>
      )
    case 'edge':
      return <Child e={row.e} />
    case 'pruned':
      return (
        <span title={verdictMeaning(row.verdict)}>
          <Health level="off">
            prunes {counted(row.children.length + row.more, 'child', 'children')} by {reason(row.verdict, row.evidence)}
            {row.children.length === 1 && `: ${row.children[0]}`}
          </Health>
        </span>
      )
    case 'name':
      return <Member name={row.name} tier="" />
    case 'more':
      return (
        <UnstyledButton onClick={toggle} c="var(--mantine-color-anchor)" fz="sm">
          … and {row.hidden} more that answered: show all
        </UnstyledButton>
      )
  }
}

function Query({ text }: { text: string }) {
  return <Code style={{ overflowWrap: 'anywhere', whiteSpace: 'normal' }}>{oneLine(text)}</Code>
}

function TierNotes({ x }: { x: Explanation }) {
  const notes: ReactNode[] = []
  if (x.queuedNs && x.queuedNs > 1e6) notes.push(`queued ${duration(x.queuedNs / 1e9)}`)
  if (x.plannedNs && x.plannedNs > 1e6) notes.push(`planned ${duration(x.plannedNs / 1e9)}`)
  if (x.wastedNs) notes.push(`plans given up ${duration(x.wastedNs / 1e9)}`)
  return (
    <Text size="xs" c="dimmed">
      {x.step > 0 ? (
        <>
          from <When t={x.start} /> to <When t={x.end} /> every {duration(x.step / 1000)}
        </>
      ) : (
        <>
          at <When t={x.end} />
        </>
      )}
      {notes.length > 0 && ', ' + notes.join(', ')}
    </Text>
  )
}

function Member({ name, tier }: { name: string; tier: string }) {
  const { set, replica } = splitReplica(name)
  return (
    <>
      {tier && tier !== name ? tier + ' ' : ''}
      <Anchor
        component={Link}
        to={'/leaf?' + new URLSearchParams({ name }).toString()}
        size="sm"
        c={tier === 'leaf' ? undefined : 'inherit'}
      >
        {set}
      </Anchor>
      {replica !== undefined && (
        <Badge size="sm" variant="default" tt="none" ml={4}>
          replica {replica}
        </Badge>
      )}
    </>
  )
}

const marks: [keyof Edge, string, string][] = [
  ['late', 'late', 'It missed its soft deadline.'],
  ['hedged', 'hedged', 'It was slow, so a replica was raced with it.'],
  ['cached', 'cached', 'Some of its part came from a cache.'],
]

function Child({ e }: { e: Edge }) {
  return (
    <Group gap={6} style={{ rowGap: 2 }}>
      <Health level={e.failed ? 'bad' : e.empty ? 'warn' : 'good'}>{e.failed ? 'failed' : 'asks'}</Health>
      <span className={classes.text}>
        <Member name={e.child} tier={e.tier} />
      </span>
      {marks
        .filter(([k]) => e[k])
        .map(([k, word, hint]) => (
          <Badge key={k} size="sm" variant="outline" color={k === 'late' ? 'red' : 'gray'} tt="none" title={hint}>
            {word}
          </Badge>
        ))}
      {e.empty && (
        <Text span size="xs" title="Its field hint could not rule it out; see Hints.">
          asked in vain: it holds nothing of the selector (of kind {e.empty})
        </Text>
      )}
      {e.failed && (
        <Text span size="sm" style={{ overflowWrap: 'anywhere' }}>
          {e.failed}
        </Text>
      )}
    </Group>
  )
}
