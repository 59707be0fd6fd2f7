import { Button, Code, Paper, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { Hints, HintSavings } from '../api/hints.ts'
import { bytes, percent, whole } from '../format/numbers.ts'
import { Health } from '../parts/Health.tsx'
import { Stats } from '../parts/Stats.tsx'
import { Sideways } from '../leaf/Sideways.tsx'
import classes from '../leaf/leaf.module.css'
import { estimated, kinds, passedInVain, savingRows, sparedShare, total, usesOf } from './sums.ts'

/** What hints saved this tier, in numbers that matter. */
export function Sums({ hints }: { hints: Hints }) {
  const all = total(hints.uses)
  const synced = hints.children.filter((c) => c.synced).length
  const size = hints.children.reduce((a, c) => a + (c.hint?.bytes ?? 0), 0)
  const rate = estimated(hints.children)
  return (
    <Stats
      stats={[
        {
          label: 'Requests spared',
          value: `${whole(all.spared)} of ${whole(all.asked + all.spared)}`,
          hint: 'Requests to children that their hints made unnecessary, of all that there would have been, since this tier started',
        },
        { label: 'Saved', value: percent(sparedShare(all)) },
        {
          label: 'Asked in vain',
          value: percent(all.told > 0 ? all.emptyRate : undefined),
          hint: 'Of the requests whose answers tell: those to children that had nothing of what was selected',
        },
        {
          label: 'Let through wrongly',
          value: percent(passedInVain(all)),
          hint: 'Children asked in vain, of all that had nothing: what hints missed',
        },
        {
          label: 'Filters, estimated',
          value: rate ? percent(rate.mean) : '–',
          hint: 'The share of absent fingerprints that seem to be there, estimated from how full the filters are',
        },
        { label: 'Hints that prune', value: `${synced} of ${hints.children.length}` },
        { label: 'Memory', value: bytes(size), hint: 'Taken here by the hints of all children' },
      ]}
    />
  )
}

/** The same by kind of selector, beside what is estimated of filters. */
export function Kinds({ hints }: { hints: Hints }) {
  return (
    <Paper withBorder p="sm" mb="md" component="section" aria-label="By kind of selector">
      <Title order={2} size="h5">
        By kind of selector
      </Title>
      <Text size="xs" c="dimmed" mb={4}>
        Since this tier started, for queries. Asked in vain is measured, and is mostly due to what fingerprints do not
        tell; a filter’s own error is {percent(estimated(hints.children)?.mean)} for a single fingerprint, estimated, at
        worst {percent(estimated(hints.children)?.worst)}.
      </Text>
      <Sideways label="Uses by kind of selector">
        <table className={classes.table} style={{ minWidth: 560 }}>
          <thead>
            <tr>
              <th>Selector of</th>
              <th className={classes.n}>Asked</th>
              <th className={classes.n}>of which told</th>
              <th className={classes.n}>in vain</th>
              <th className={classes.n}>in vain, share</th>
              <th className={classes.n}>Spared</th>
              <th className={classes.n}>Spared, share</th>
            </tr>
          </thead>
          <tbody>
            {kinds.map(({ kind, title, means }) => {
              const u = usesOf(hints.uses, kind)
              return (
                <tr key={kind}>
                  <th scope="row" title={means} style={{ fontWeight: 400 }}>
                    {title}
                  </th>
                  <td className={classes.n}>{whole(u.asked)}</td>
                  <td className={classes.n}>{whole(u.told)}</td>
                  <td className={classes.n}>{whole(u.empty)}</td>
                  <td className={classes.n}>{u.told > 0 ? percent(u.emptyRate) : '–'}</td>
                  <td className={classes.n}>{whole(u.spared)}</td>
                  <td className={classes.n}>{percent(sparedShare(u))}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </Sideways>
    </Paper>
  )
}

const shownLabels = 12

/** Which labels it is that spare requests. */
export function Labels({ savings }: { savings: HintSavings }) {
  const [all, setAll] = useState(false)
  const rows = savingRows(savings)
  if (rows.length === 0) return null
  const shown = all ? rows : rows.slice(0, shownLabels)
  return (
    <Paper withBorder p="sm" mb="md" component="section" aria-label="By label">
      <Title order={2} size="h5">
        By label
      </Title>
      <Text size="xs" c="dimmed" mb={4}>
        Whose matcher alone ruled the spared children out, the metric name before others; estimated from a few of them.
      </Text>
      <Sideways label="Requests spared by label">
        <table className={classes.table} style={{ minWidth: 360 }}>
          <thead>
            <tr>
              <th>Ruled out by</th>
              <th className={classes.n}>Spared</th>
              <th className={classes.n}>of all spared</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((r) => (
              <tr key={`${r.label} ${r.name}`}>
                <th scope="row" style={{ fontWeight: 400 }}>
                  {r.label ? <Code>{r.name}</Code> : r.name}
                </th>
                <td className={classes.n}>{whole(r.spared)}</td>
                <td className={classes.n}>{percent(r.share)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Sideways>
      {rows.length > shownLabels && (
        <Button variant="subtle" size="compact-xs" mt={4} onClick={() => setAll(!all)}>
          {all ? 'Fewer' : `All ${rows.length}`}
        </Button>
      )}
    </Paper>
  )
}

/** Children whose hints are not used, each with why. */
export function Unused({ hints }: { hints: Hints }) {
  const unused = hints.children.filter((c) => !c.synced)
  if (unused.length === 0) return null
  return (
    <Paper withBorder p="sm" mb="md" component="section" aria-label="Hints that are not used">
      <Title order={2} size="h5">
        Hints that are not used ({unused.length})
      </Title>
      <Text size="xs" c="dimmed" mb={4}>
        These children are asked for everything: nothing is missed, but they are asked in vain.
      </Text>
      {unused.slice(0, 12).map((c) => (
        <div key={c.name}>
          <Health level={c.connected ? 'warn' : 'bad'}>
            {c.tier} {c.name}: {c.unsynced || c.reason || 'why is not told'}
          </Health>
        </div>
      ))}
      {unused.length > 12 && <Text size="sm">and {unused.length - 12} more, in the list</Text>}
    </Paper>
  )
}
