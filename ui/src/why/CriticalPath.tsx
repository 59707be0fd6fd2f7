import { Group, Paper, Text, Title } from '@mantine/core'
import type { PathStep } from '../api/explain.ts'
import { duration, percent } from '../format/numbers.ts'
import { Health } from '../parts/Health.tsx'
import classes from './CriticalPath.module.css'
import { bars, verdictOf, type Segment } from './path.ts'
import { title } from './words.ts'

const meaning: Record<Segment['kind'], string> = {
  queued: 'queued: waiting for a turn in that tier',
  wire: 'wire: between the tier above and this one, with encoding and decoding',
  self: 'self: planning, evaluating and merging in the tier',
  below: 'below: waiting for the next line',
}

const advice = {
  queued: 'It waited for a turn: see Queries for what ran beside it.',
  wire: 'The way between two tiers took longest: a slow or far link, or a large answer.',
  self: 'The tier itself worked longest.',
}

/** Where the time went: the slowest child of each tier, from the top down. */
export function CriticalPath({ path }: { path: PathStep[] }) {
  const lines = bars(path)
  const worst = verdictOf(path)
  if (lines.length === 0) return null
  return (
    <Paper withBorder p="sm" mb="sm" component="section" aria-label="Critical path">
      <Group justify="space-between" mb={6} gap="xs">
        <Title order={2} size="h5">
          Critical path: {duration((path[0]?.totalNs ?? 0) / 1e9)}
        </Title>
        <Legend />
      </Group>
      <div className={classes.grid} role="table" aria-label="Critical path">
        <div className={classes.line} role="row">
          <span className={`${classes.head} ${classes.headName}`} role="columnheader">
            tier
          </span>
          <span className={`${classes.head} ${classes.headBar}`} role="columnheader">
            its time within the whole
          </span>
          {['queued', 'wire', 'self', 'total'].map((h) => (
            <span key={h} className={`${classes.head} ${classes.number}`} role="columnheader">
              {h}
            </span>
          ))}
        </div>
        {lines.map(({ step, segments }, i) => (
          <div key={i} className={classes.line} role="row">
            <span className={classes.name} role="rowheader" title={title(step.tier, step.name)}>
              {step.failed ? (
                <Health level="bad">{`${title(step.tier, step.name)} ${step.late ? 'was late' : 'failed'}`}</Health>
              ) : (
                title(step.tier, step.name)
              )}
            </span>
            <span className={classes.bar} role="cell">
              <div className={classes.track} role="img" aria-label={spoken(segments)}>
                {segments.map((s) => (
                  <span
                    key={s.kind}
                    className={classes[s.kind]}
                    style={{ left: `${s.from * 100}%`, width: `${s.share * 100}%` }}
                    title={`${meaning[s.kind]}: ${duration(s.ns / 1e9)} (${percent(s.share)})`}
                  />
                ))}
              </div>
            </span>
            <Number ns={step.queuedNs} />
            <Number ns={step.wireNs} />
            <Number ns={step.selfNs} />
            <Number ns={step.totalNs} />
          </div>
        ))}
      </div>
      {worst?.step.failed && (
        <Text size="sm" mt={8}>
          <b>{percent(worst.share)}</b> of the time was spent waiting for {title(worst.step.tier, worst.step.name)},
          which {worst.step.late ? 'was late' : 'failed'}: what it did meanwhile is not known.
        </Text>
      )}
      {worst && !worst.step.failed && (
        <Text size="sm" mt={8}>
          <b>{percent(worst.share)}</b> of the time is {worst.kind} at {title(worst.step.tier, worst.step.name)}.{' '}
          <Text span c="dimmed">
            {advice[worst.kind]}
          </Text>
        </Text>
      )}
    </Paper>
  )
}

function Number({ ns }: { ns: number }) {
  return (
    <span className={classes.number} role="cell">
      {duration(ns / 1e9)}
    </span>
  )
}

function spoken(segments: Segment[]): string {
  return segments.map((s) => `${s.kind} ${percent(s.share)}`).join(', ')
}

function Legend() {
  return (
    <Group gap="sm" aria-hidden="true">
      {(['queued', 'wire', 'self', 'below'] as const).map((k) => (
        <Group key={k} gap={4} title={meaning[k]}>
          <span className={classes.swatch}>
            <span className={classes[k]} />
          </span>
          <Text size="xs">{k}</Text>
        </Group>
      ))}
    </Group>
  )
}
