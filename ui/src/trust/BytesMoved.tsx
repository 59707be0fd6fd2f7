import { Button, Popover, Text, UnstyledButton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { ask } from '../api/client.ts'
import type { QueryStats } from '../api/stats.ts'
import { bytes, percent } from '../format/numbers.ts'
import { Failure } from '../parts/Failure.tsx'
import { Loading } from '../parts/Loading.tsx'
import classes from './Trust.module.css'

/** How many bytes an answer moved between tiers and, measured when a person asks for it, how many raw series would have been. */
export function BytesMoved({ bytes: moved, params }: { bytes: number; params: Record<string, string> }) {
  const [open, setOpen] = useState(false)
  const [wanted, setWanted] = useState(false)
  const raw = useQuery({
    queryKey: ['raw bytes', params],
    enabled: wanted,
    staleTime: Infinity,
    retry: false,
    queryFn: async ({ signal }) => {
      const p = { ...params, pushdown: 'off', rollup: 'off', nocache: '1', align: 'off' }
      return (await ask<{ stats?: QueryStats }>('/pando/api/v1/analyze', p, { signal })).data.stats?.pando
    },
  })
  const all = raw.data?.bytes
  return (
    <Popover opened={open} onChange={setOpen} width={320} withArrow>
      <Popover.Target>
        <UnstyledButton className={classes.part} onClick={() => setOpen((o) => !o)} title="Compare with raw series">
          <span className={classes.dim}>moved </span>
          {bytes(moved)}
          {all !== undefined && all > 0 && <span className={classes.dim}> of {bytes(all)} raw</span>}
          {all === undefined && <span className={classes.dim}> · raw?</span>}
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown>
        <Text size="sm" mb="xs">
          {bytes(moved)} came from the children of all tiers, on the wire or in memory. What raw series would have taken
          is known only by pulling them: the same query once more, without push-down, rollups and cache.
        </Text>
        {!wanted && (
          <Button size="compact-sm" onClick={() => setWanted(true)}>
            Pull them and compare
          </Button>
        )}
        {raw.isFetching && <Loading what="pulling raw series" />}
        {raw.error && <Failure what="Not compared" error={raw.error} retry={() => void raw.refetch()} />}
        {raw.data && (
          <Text size="sm" fw={600}>
            {bytes(raw.data.bytes)} as raw series: this answer moved{' '}
            {percent(raw.data.bytes > 0 ? moved / raw.data.bytes : undefined)} of it.
            {!raw.data.complete && ' That measurement is incomplete: a child did not answer.'}
          </Text>
        )}
      </Popover.Dropdown>
    </Popover>
  )
}
