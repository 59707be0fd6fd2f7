import { Anchor, Group, Text } from '@mantine/core'
import { useMemo, type ReactNode } from 'react'
import { Link } from 'react-router'
import type { QueryStats } from '../api/stats.ts'
import { useTree, type Tree } from '../api/tree.ts'
import { duration } from '../format/numbers.ts'
import { Health } from '../parts/Health.tsx'
import { When } from '../parts/When.tsx'
import { BytesMoved } from './BytesMoved.tsx'
import { prunedText, shortName, trust, type Trust } from './summary.ts'
import classes from './Trust.module.css'

interface Props {
  stats: QueryStats | undefined
  warnings: string[]
  queryId: string
  /** The request's parameters without stats, for what is measured on demand. */
  params: Record<string, string>
  /** The last time that the answer is about; milliseconds. */
  until: number
}

/** One line below an answer: of whom it is, whether it is whole, what it cost, how fresh it is. Each part leads to why. */
export function TrustStrip({ stats, warnings, queryId, params, until }: Props) {
  const { data: tree } = useTree()
  // The tree as it was when the answer came, or as soon after as it is known.
  const known = tree !== undefined
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const t = useMemo(() => trust(stats?.pando, stats?.cache, warnings, tree), [stats, warnings, known])
  const why = '/why?id=' + encodeURIComponent(queryId)
  const p = stats?.pando
  return (
    <Group className={classes.strip} role="group" aria-label="How far this answer can be trusted">
      <Part to={why} hint="Whether any child is missing from the answer">
        <Whole t={t} />
      </Part>
      <Leaves t={t} tree={tree} why={why} />
      {p && (
        <Part
          to={why}
          label="took"
          hint={`${p.fragments} fragments, ${p.replans} plans given up; planned in ${duration(p.planned)}, waited ${duration(p.queued)}`}
        >
          {duration(p.total)}
          {t.slowest && (
            <span className={classes.dim}>
              {' '}
              · slowest {shortName(t.slowest.name)} {duration(t.slowest.time)}
            </span>
          )}
        </Part>
      )}
      {p && p.asked > 0 && <BytesMoved key={queryId} bytes={p.bytes} params={params} />}
      <Fresh t={t} until={until} why={why} />
      <Shortcuts t={t} stats={stats} why={why} />
    </Group>
  )
}

function Part({ to, label, hint, children }: { to: string; label?: string; hint: string; children: ReactNode }) {
  return (
    <Anchor component={Link} to={to} className={classes.part} title={hint} underline="hover" c="inherit">
      {label && <span className={classes.dim}>{label} </span>}
      {children}
    </Anchor>
  )
}

function Whole({ t }: { t: Trust }) {
  if (t.whole === undefined) return <Health level="off">not told</Health>
  return t.whole ? <Health level="good">whole</Health> : <Health level="bad">incomplete</Health>
}

function Leaves({ t, tree, why }: { t: Trust; tree: Tree | undefined; why: string }) {
  if (tree?.self.tier === 'leaf')
    return (
      <Part to={why} hint="A leaf answers by itself">
        this leaf alone
      </Part>
    )
  const { counts: c } = t
  const pruned = prunedText(c)
  return (
    <>
      <Part to={why} label="asked" hint="Leaves that a request was sent to, of all leaves below this tier">
        {c.asked} of {t.leaves} {t.leaves === 1 ? 'leaf' : 'leaves'}
      </Part>
      {pruned && (
        <Part
          to={why}
          label="pruned"
          hint="Leaves that cannot hold a matching series, by what told so: their field hint, their labels, the time; or that a rollup stands for"
        >
          {pruned}
        </Part>
      )}
      {t.missing.length > 0 && (
        <Part to={why} hint={t.missing.map((m) => `${m.tier} ${m.name}: ${m.reason}`).join('\n')}>
          <Text span inherit c="red" fw={600}>
            failed {c.failed || t.missing.length}
            {c.late > 0 && `, late ${c.late}`}: {names(t.missing.map((m) => m.name))}
          </Text>
        </Part>
      )}
    </>
  )
}

function names(list: string[]): string {
  const shown = list.slice(0, 3).map(shortName).join(', ')
  return list.length > 3 ? `${shown} and ${list.length - 3} more` : shown
}

function Fresh({ t, until, why }: { t: Trust; until: number; why: string }) {
  if (!t.freshness) return null
  const { at: newest, leaf } = t.freshness
  // What is asked for lies in the past of every leaf: nothing newer belongs to it.
  if (until < newest) return null
  return (
    <Part
      to={why}
      label="data as of"
      hint={`The newest sample of ${leaf}, which is furthest behind of all leaves asked. Other leaves are fresher. It is the newest of any series there, not of those of this answer.`}
    >
      <When t={newest} short />
      {t.freshness.behind !== undefined && (
        <span className={classes.dim}> ({duration(t.freshness.behind)} behind)</span>
      )}
    </Part>
  )
}

function Shortcuts({ t, stats, why }: { t: Trust; stats: QueryStats | undefined; why: string }) {
  const rollups = stats?.pando?.rollups ?? []
  const aligned = stats?.pando?.aligned
  const first = rollups[0]
  return (
    <>
      {first && (
        <Part
          to={why}
          label="rollup"
          hint={rollups.map((r) => `${r.rule} of ${r.tier}: ${r.steps} of ${r.of} steps`).join('\n')}
        >
          {first.rule}
          {rollups.length > 1 && ` and ${rollups.length - 1} more`}
          <span className={classes.dim}>
            {' '}
            until <When t={first.until} short />
          </span>
        </Part>
      )}
      {t.cache && (
        <Part to={why} label="cache" hint="Of this tier's result cache. Options switch it off.">
          {t.cache}
        </Part>
      )}
      {(stats?.pando?.cached ?? 0) > 0 && (
        <Part to={why} label="cached below" hint="Children that answered in part from a cache">
          {stats?.pando?.cached}
        </Part>
      )}
      {(stats?.pando?.hedged ?? 0) > 0 && (
        <Part to={why} label="hedged" hint="Children that were slow, so that a replica was asked as well">
          {stats?.pando?.hedged}
        </Part>
      )}
      {aligned && (
        <Part
          to={why}
          label="times"
          hint={aligned.why ?? 'The times of this range were moved to where rollups have points'}
        >
          {aligned.why ? 'not aligned' : 'aligned'}
        </Part>
      )}
    </>
  )
}
