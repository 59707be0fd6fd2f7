import { ActionIcon, Box, Group, Text, TextInput, Tooltip } from '@mantine/core'
import { IconCopy } from '@tabler/icons-react'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useDeferredValue, useMemo, useRef, useState } from 'react'
import { useSettings } from '../app/settings.tsx'
import { numeric, whole } from '../format/numbers.ts'
import { dateTime } from '../format/times.ts'
import { Labels, labelsText } from '../parts/Labels.tsx'
import { HistogramView } from './HistogramView.tsx'
import type { HistogramSample, InstantSeries, LabelSet, RangeSeries, Sample } from './results.ts'
import classes from './Query.module.css'
import { arranged, maxRows, type Order } from './tablerows.ts'
import { withUnit, type Unit } from './unittext.ts'

type Series = InstantSeries & RangeSeries

/** The series of an answer with their values: rows in sight are drawn, of the first 10,000. */
export function ResultTable({ series, unit }: { series: (InstantSeries | RangeSeries)[]; unit: Unit }) {
  const [order, setOrder] = useState<Order | undefined>()
  const [filter, setFilter] = useState('')
  const wanted = useDeferredValue(filter)
  const rows = useMemo(() => arranged(series as Series[], order, wanted), [series, order, wanted])
  const drawn = rows.slice(0, maxRows)
  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: drawn.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 34,
    overscan: 10,
  })
  const turn = (key: Order['key']) =>
    setOrder((o) =>
      o?.key === key
        ? o.down === (key === 'value')
          ? { key, down: !o.down }
          : undefined
        : { key, down: key === 'value' },
    )
  const sortOf = (key: Order['key']) => (order?.key === key ? (order.down ? 'descending' : 'ascending') : 'none')
  const arrow = (key: Order['key']) => (order?.key === key ? (order.down ? ' ↓' : ' ↑') : '')
  return (
    // On a wall, a value must not stand too far from its series to be told to be its own.
    <div style={{ maxWidth: 1800 }}>
      <Group gap="sm" mb={6} justify="space-between">
        <Text size="sm" c="dimmed">
          {whole(series.length)} series
          {wanted !== '' && `, ${whole(rows.length)} of them match`}
          {rows.length > drawn.length && `; ${whole(rows.length - drawn.length)} are not drawn`}
        </Text>
        {series.length > 8 && (
          <TextInput
            size="xs"
            w={220}
            placeholder="filter series"
            aria-label="Filter series"
            value={filter}
            onChange={(e) => setFilter(e.currentTarget.value)}
          />
        )}
      </Group>
      <Box ref={scroller} className={classes.scroller} tabIndex={0} role="region" aria-label="Result">
        <div role="table" aria-label="Result" aria-rowcount={drawn.length + 1}>
          <div role="row" className={classes.head} aria-rowindex={1}>
            <div role="columnheader" aria-sort={sortOf('series')}>
              <button type="button" className={classes.sorter} onClick={() => turn('series')}>
                Series{arrow('series')}
              </button>
            </div>
            <div role="columnheader" aria-sort={sortOf('value')} className={classes.number}>
              <button type="button" className={classes.sorter} onClick={() => turn('value')}>
                Value{unit && `, ${unit}`}
                {arrow('value')}
              </button>
            </div>
          </div>
          <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
            {virtual.getVirtualItems().map((v) => {
              const row = drawn[v.index]
              return (
                row && (
                  <div
                    key={v.key}
                    ref={virtual.measureElement}
                    data-index={v.index}
                    role="row"
                    aria-rowindex={v.index + 2}
                    className={classes.row}
                    style={{ transform: `translateY(${v.start}px)` }}
                  >
                    <SeriesCell labels={row.metric} />
                    <ValueCell row={row} unit={unit} />
                  </div>
                )
              )
            })}
          </div>
        </div>
      </Box>
    </div>
  )
}

function SeriesCell({ labels }: { labels: LabelSet }) {
  return (
    <div role="cell" className={classes.series}>
      <Labels labels={labels} />
      <Tooltip label="Copy as selector">
        <ActionIcon
          size="xs"
          variant="subtle"
          color="gray"
          className={classes.copy}
          aria-label="Copy as selector"
          onClick={() => void navigator.clipboard?.writeText(labelsText(labels))}
        >
          <IconCopy size={13} />
        </ActionIcon>
      </Tooltip>
    </div>
  )
}

function ValueCell({ row, unit }: { row: Series; unit: Unit }) {
  if (row.histogram)
    return (
      <div role="cell" className={classes.histogram}>
        <HistogramView h={row.histogram[1]} />
      </div>
    )
  if (row.value)
    return (
      <div role="cell" className={classes.number} title={unit ? withUnit(numeric(row.value[1]), unit) : undefined}>
        {row.value[1]}
      </div>
    )
  return (
    <div role="cell" className={classes.number}>
      <Range samples={row.values ?? []} histograms={row.histograms ?? []} />
    </div>
  )
}

// So many samples of a range are drawn at first, and at most.
const fewSamples = 20
const mostSamples = 2000

function Range({ samples, histograms }: { samples: Sample[]; histograms: HistogramSample[] }) {
  const { zone } = useSettings()
  const [all, setAll] = useState(false)
  const n = samples.length + histograms.length
  const shown = all ? mostSamples : fewSamples
  return (
    <div className={classes.range}>
      {samples.slice(0, shown).map(([t, v]) => (
        <div key={t}>
          {v}{' '}
          <span className={classes.dim}>
            @ {dateTime(t * 1000, zone)}
            {fraction(t)}
          </span>
        </div>
      ))}
      {histograms.slice(0, Math.max(0, shown - samples.length)).map(([t, h]) => (
        <div key={t}>
          count {h.count}, sum {h.sum}{' '}
          <span className={classes.dim}>
            @ {dateTime(t * 1000, zone)}
            {fraction(t)}
          </span>
        </div>
      ))}
      {n > fewSamples && (
        <button type="button" className={classes.sorter} onClick={() => setAll((a) => !a)}>
          <u>{all ? 'show fewer' : `show the other ${whole(n - fewSamples)}`}</u>
        </button>
      )}
      {all && n > mostSamples && <div>{whole(n - mostSamples)} more are not drawn</div>}
    </div>
  )
}

function fraction(seconds: number): string {
  const ms = Math.round(seconds * 1000) % 1000
  return ms === 0 ? '' : '.' + String(ms).padStart(3, '0')
}

/** A scalar or a text. */
export function SingleValue({ kind, sample }: { kind: 'scalar' | 'string'; sample: Sample }) {
  return (
    <Group gap="md" py={6}>
      <Text size="sm" c="dimmed">
        {kind}
      </Text>
      <Text ff="monospace" style={{ overflowWrap: 'anywhere', fontVariantNumeric: 'tabular-nums' }}>
        {kind === 'string' ? JSON.stringify(sample[1]) : Number.isNaN(numeric(sample[1])) ? 'NaN' : sample[1]}
      </Text>
    </Group>
  )
}
