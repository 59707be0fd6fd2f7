import { Alert, Text, useComputedColorScheme } from '@mantine/core'
import { useElementSize } from '@mantine/hooks'
import { useMemo, useState } from 'react'
import { useSettings } from '../app/settings.tsx'
import { whole } from '../format/numbers.ts'
import { timesOf, valuesOn, type Grid } from './aligned.ts'
import type { Exemplar } from './exemplars.ts'
import { heatmapOf } from './heatmap.ts'
import { HeatmapChart } from './HeatmapChart.tsx'
import { placesOf, seriesAt } from './hidden.ts'
import { Legend } from './Legend.tsx'
import { LineChart, type Line } from './LineChart.tsx'
import type { RangeSeries } from './results.ts'
import type { Unit } from './unittext.ts'
import type { Display } from './urlstate.ts'

interface Props {
  result: RangeSeries[]
  grid: Grid
  display: Display
  log: boolean
  unit: Unit
  exemplars: Exemplar[]
  onZoom: (start: number, end: number) => void
}

/** More lines than this are not drawn: nobody could tell them apart, and the browser would be slow. */
const maxLines = 500

/** A range as a chart with its legend. */
export default function GraphView({ result, grid, display, log, unit, exemplars, onZoom }: Props) {
  const { ref, width } = useElementSize()
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const { zone } = useSettings()
  // By what the lines are of: places in an answer are others in the next one.
  const [hiddenSeries, setHiddenSeries] = useState<ReadonlySet<string>>(new Set())
  const times = useMemo(() => timesOf(grid), [grid.start, grid.end, grid.step])
  const lines = useMemo(
    () =>
      result
        .map((s, index): Line & { has: boolean } => ({
          metric: s.metric,
          index,
          values: [],
          has: (s.values?.length ?? 0) > 0,
        }))
        .filter((l) => l.has)
        .slice(0, maxLines)
        .map((l) => ({ ...l, values: valuesOn(result[l.index] as RangeSeries, times, grid.step) })),
    [result, times, grid.step],
  )
  const hidden = useMemo(() => placesOf(lines, hiddenSeries), [lines, hiddenSeries])
  const map = useMemo(
    () => (display === 'heatmap' ? heatmapOf(result, times, grid.step) : undefined),
    [display, result, times, grid.step],
  )
  const frame = {
    width,
    height: width < 500 ? 260 : Math.round(Math.min(Math.max(380, window.innerHeight * 0.36), 760)),
    scheme,
    zone,
    onZoom,
  }
  const floats = result.filter((s) => (s.values?.length ?? 0) > 0).length
  return (
    <div ref={ref} style={{ minWidth: 0 }}>
      {display === 'heatmap' ? (
        map ? (
          <>
            <HeatmapChart
              {...frame}
              times={times}
              step={grid.step}
              map={map}
              unit={unit}
              label={`Heatmap of ${map.bounds.length - 1} buckets`}
            />
            <Text size="xs" c="dimmed">
              {map.kind === 'native' ? 'Native histograms' : 'Classic buckets, each without those below it'}
              {map.summed > 1 && `; ${whole(map.summed)} series are added up`}
            </Text>
          </>
        ) : (
          <Alert color="gray" title="No histogram">
            A heatmap shows native histograms, or series that differ in their label le, as in sum by (le)
            (rate(x_bucket[5m])). This answer has neither.
          </Alert>
        )
      ) : (
        <>
          {lines.length > 0 && (
            <>
              <LineChart
                {...frame}
                times={times}
                lines={lines}
                hidden={hidden}
                stack={display === 'stacked'}
                log={log}
                unit={unit}
                exemplars={exemplars}
                label={`Graph of ${lines.length} series`}
              />
              <Notes result={result} floats={floats} lines={lines.length} log={log} values={lines} />
              <Legend
                lines={lines}
                hidden={hidden}
                onChange={(places) => setHiddenSeries(seriesAt(lines, places))}
                scheme={scheme}
              />
            </>
          )}
          {lines.length === 0 && (
            <Alert color="gray" title="Nothing to draw as lines">
              All {whole(result.length)} series are native histograms. Show them as a heatmap, or take
              histogram_quantile, histogram_avg or histogram_count of them.
            </Alert>
          )}
        </>
      )}
    </div>
  )
}

function Notes({
  result,
  floats,
  lines,
  log,
  values,
}: {
  result: RangeSeries[]
  floats: number
  lines: number
  log: boolean
  values: Line[]
}) {
  const notes: string[] = []
  if (floats > lines) notes.push(`${whole(floats - lines)} of ${whole(floats)} series are not drawn`)
  const only = result.length - floats
  if (only > 0) notes.push(`${whole(only)} series are native histograms: a heatmap shows them`)
  if (log && values.some((l) => l.values.some((v) => v !== null && v <= 0)))
    notes.push('zero and less have no place on a logarithmic axis')
  if (result.some((s) => s.values?.some(([, v]) => v === 'NaN' || v.endsWith('Inf'))))
    notes.push('NaN and infinite values are gaps')
  return notes.length === 0 ? null : (
    <Text size="xs" c="dimmed">
      {notes.join('; ')}.
    </Text>
  )
}
