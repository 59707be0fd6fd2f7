import { Group, SegmentedControl, Text, TextInput } from '@mantine/core'
import { useDeferredValue, useMemo, useState } from 'react'
import type { HintKind, OwnHint } from '../api/hints.ts'
import { bytes, whole } from '../format/numbers.ts'
import { DataTable, type Column } from '../parts/DataTable.tsx'
import { Health } from '../parts/Health.tsx'
import { Sideways } from '../leaf/Sideways.tsx'
import classes from '../leaf/leaf.module.css'
import { byClass, byLabel, schemeSize, type Part } from './sums.ts'

const partColumns: Column<Part>[] = [
  {
    key: 'name',
    title: 'Label',
    width: 'minmax(120px, 2fr)',
    render: (p) => <code>{p.name}</code>,
    sort: (p) => p.name,
  },
  { key: 'kept', title: 'Kinds kept', width: '92px', numeric: true, render: (p) => whole(p.kept), sort: (p) => p.kept },
  {
    key: 'dropped',
    title: 'not kept',
    width: '84px',
    numeric: true,
    render: (p) => whole(p.dropped),
    sort: (p) => p.dropped,
  },
  { key: 'bytes', title: 'Take', width: '90px', numeric: true, render: (p) => bytes(p.bytes), sort: (p) => p.bytes },
  {
    key: 'saved',
    title: 'Would take',
    hint: 'What the kinds that are not kept would take',
    width: '96px',
    numeric: true,
    render: (p) => bytes(p.droppedBytes),
    sort: (p) => p.droppedBytes,
  },
]

const kindColumns: Column<HintKind>[] = [
  { key: 'class', title: 'Facts', width: '104px', render: (k) => k.class, sort: (k) => k.class },
  {
    key: 'labels',
    title: 'of',
    width: 'minmax(160px, 1.5fr)',
    render: (k) => <code title={k.labels.join(' × ')}>{k.labels.join(' × ')}</code>,
    sort: (k) => k.labels.join(' '),
  },
  {
    key: 'kept',
    title: 'Kept',
    width: '84px',
    render: (k) => <Health level={k.kept ? 'good' : 'off'}>{k.kept ? 'yes' : 'no'}</Health>,
    sort: (k) => (k.kept ? 0 : 1),
  },
  { key: 'facts', title: 'Facts', width: '84px', numeric: true, render: (k) => whole(k.facts), sort: (k) => k.facts },
  {
    key: 'bytes',
    title: 'Take',
    hint: 'At a parent; would take, if it is not kept',
    width: '88px',
    numeric: true,
    render: (k) => bytes(k.bytes),
    sort: (k) => k.bytes,
  },
  {
    key: 'reason',
    title: 'Why',
    width: 'minmax(180px, 2fr)',
    render: (k) => <span title={k.reason}>{k.reason}</span>,
    sort: (k) => k.reason,
  },
]

/** What a tier tells its parents of its series: which kinds of facts, what they take, and why. series counts its own. */
export function Scheme({ own, series }: { own: OwnHint; series: number }) {
  const [by, setBy] = useState('label')
  const [text, setText] = useState('')
  const search = useDeferredValue(text.trim().toLowerCase())
  const scheme = useMemo(() => own.scheme ?? [], [own])
  const size = schemeSize(scheme, series)
  const fits = (...names: string[]) => search === '' || names.some((n) => n.toLowerCase().includes(search))
  const found = scheme.filter((k) => fits(k.class, k.reason, ...k.labels))
  return (
    <>
      <Text size="sm">
        <Health level={own.complete ? 'good' : 'warn'}>
          {own.complete ? 'complete: parents may prune by it' : 'not complete: it does not know yet all that it holds'}
        </Health>{' '}
        {whole(own.fingerprints)} fingerprints, {bytes(own.bytes)} here.
      </Text>
      {scheme.length === 0 ? (
        <Text size="sm" c="dimmed">
          A zone’s hint is the union of those of its children: it decides nothing itself. Its leaves do; open one of
          them.
        </Text>
      ) : (
        <>
          <Text size="sm" my={4}>
            What is kept takes {bytes(size.bytes)} at a parent
            {size.perSeries !== undefined && `, ${size.perSeries.toFixed(2)} B a series of ${whole(series)}`}. The
            budget is <code>--hints.bytes-per-series</code> (small leaves may take more); <code>--hints.keep</code> and{' '}
            <code>--hints.drop</code> override it by label.
          </Text>
          <Sideways label="Facts by class">
            <table className={classes.table} style={{ maxWidth: 640, marginBottom: 8 }} aria-label="By class of facts">
              <thead>
                <tr>
                  <th>Facts</th>
                  <th className={classes.n}>Kinds kept</th>
                  <th className={classes.n}>not kept</th>
                  <th className={classes.n}>Facts kept</th>
                  <th className={classes.n}>Take</th>
                  <th className={classes.n}>The others would take</th>
                </tr>
              </thead>
              <tbody>
                {byClass(scheme).map((p) => (
                  <tr key={p.name}>
                    <th scope="row" style={{ fontWeight: 400 }}>
                      {p.name}
                    </th>
                    <td className={classes.n}>{whole(p.kept)}</td>
                    <td className={classes.n}>{whole(p.dropped)}</td>
                    <td className={classes.n}>{whole(p.facts)}</td>
                    <td className={classes.n}>{bytes(p.bytes)}</td>
                    <td className={classes.n}>{bytes(p.droppedBytes)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Sideways>
          <Group gap="xs" mb={6}>
            <SegmentedControl
              size="xs"
              value={by}
              onChange={setBy}
              aria-label="Show"
              data={[
                { value: 'label', label: 'By label' },
                { value: 'kind', label: 'Every kind' },
              ]}
            />
            <TextInput
              size="xs"
              placeholder="a label, a class, a reason"
              aria-label="Search the scheme"
              value={text}
              onChange={(e) => setText(e.currentTarget.value)}
            />
          </Group>
          {by === 'label' ? (
            <DataTable
              label="Facts by label"
              rows={byLabel(scheme).filter((p) => fits(p.name))}
              columns={partColumns}
              rowKey={(p) => p.name}
              height="340px"
              minWidth="560px"
            />
          ) : (
            <DataTable
              label="Kinds of facts"
              rows={found}
              columns={kindColumns}
              rowKey={(k) => k.class + ' ' + k.labels.join(' ')}
              height="340px"
              minWidth="820px"
            />
          )}
        </>
      )}
    </>
  )
}
