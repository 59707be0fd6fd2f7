import { Text } from '@mantine/core'
import type { MetricRow } from './metrics.ts'

/** What the metrics of an expression are, as their metadata tells. */
export function Meanings({ metrics }: { metrics: MetricRow[] }) {
  return metrics.map((m) => (
    <Text key={m.name} size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }} lineClamp={2} title={m.help}>
      <code>{m.name}</code> {[m.type, m.unit && `in ${m.unit}`].filter(Boolean).join(', ')}
      {m.help && `: ${m.help}`}
    </Text>
  ))
}
