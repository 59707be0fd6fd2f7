import { Text, UnstyledButton } from '@mantine/core'
import { useState } from 'react'
import { numeric } from '../format/numbers.ts'
import { interval, type Bucket, type Histogram } from './results.ts'
import classes from './Query.module.css'

const none: Bucket[] = []

/** A native histogram: its sums, and its buckets as bars whose heights are counts and, opened, as a list. */
export function HistogramView({ h }: { h: Histogram }) {
  const [open, setOpen] = useState(false)
  const buckets = h.buckets ?? none
  const max = Math.max(...buckets.map((b) => numeric(b[3])), 0)
  const mean = numeric(h.sum) / numeric(h.count)
  return (
    <div>
      <Text size="sm" style={{ fontVariantNumeric: 'tabular-nums' }}>
        count {h.count} · sum {h.sum}
        {Number.isFinite(mean) && ` · mean ${Number(mean.toPrecision(4))}`}
      </Text>
      {buckets.length > 0 && (
        <>
          <svg
            className={classes.bars}
            viewBox={`0 0 ${buckets.length} 24`}
            preserveAspectRatio="none"
            role="img"
            aria-label={`${buckets.length} buckets`}
          >
            {buckets.map((b, i) => {
              const height = max > 0 ? (numeric(b[3]) / max) * 24 : 0
              return (
                <rect key={i} x={i} y={24 - height} width={0.9} height={height} fill="currentColor">
                  <title>{`${interval(b)}: ${b[3]}`}</title>
                </rect>
              )
            })}
          </svg>
          <UnstyledButton fz="xs" td="underline" onClick={() => setOpen((o) => !o)} aria-expanded={open}>
            {open ? 'hide' : 'show'} {buckets.length} buckets
          </UnstyledButton>
        </>
      )}
      {open && (
        <table className={classes.buckets}>
          <thead>
            <tr>
              <th scope="col">bucket</th>
              <th scope="col">count</th>
            </tr>
          </thead>
          <tbody>
            {buckets.map((b, i) => (
              <tr key={i}>
                <td>{interval(b)}</td>
                <td>{b[3]}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  )
}
