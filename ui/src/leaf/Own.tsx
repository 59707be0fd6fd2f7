import { Anchor, Group, Text } from '@mantine/core'
import { Link } from 'react-router'
import { useBelow } from '../api/below.ts'
import { furthestBehind, type Rollup } from '../api/rollups.ts'
import { bytes, duration, whole } from '../format/numbers.ts'
import { Health } from '../parts/Health.tsx'
import { When } from '../parts/When.tsx'
import { Bars } from './Bars.tsx'
import { Sideways } from './Sideways.tsx'
import classes from './leaf.module.css'
import { Answered, Section } from './Section.tsx'
import { failingFirst, pools, ruleSums, type RuleGroup, type Target } from './targets.ts'

// What a member is asked for is asked for through other tiers: seldom enough.
const every = 15_000

const link = (page: string, member: string) => `/${page}${member ? '?member=' + encodeURIComponent(member) : ''}`

/** What it scrapes: how many are up, and those that are not. */
export function Targets({ member }: { member: string }) {
  const of = useBelow<{ activeTargets: Target[] | null }>(member, 'api/v1/targets', {
    params: { state: 'active' },
    every,
  })
  return (
    <Section
      title="Targets"
      more={
        <Anchor component={Link} to={link('targets', member)} size="sm">
          all targets
        </Anchor>
      }
    >
      <Answered of={of} what="targets">
        {(d) => <TargetTable targets={d.activeTargets ?? []} />}
      </Answered>
    </Section>
  )
}

function TargetTable({ targets }: { targets: Target[] }) {
  const failing = failingFirst(targets).filter((t) => t.health !== 'up')
  const by = pools(targets)
  if (targets.length === 0)
    return <Text size="sm">It scrapes nothing: its configuration names no target, or none was discovered.</Text>
  return (
    <>
      <Health level={failing.some((t) => t.health === 'down') ? 'bad' : failing.length > 0 ? 'warn' : 'good'}>
        {whole(targets.length - failing.length)} of {whole(targets.length)} up, in {by.length}{' '}
        {by.length === 1 ? 'pool' : 'pools'}
      </Health>
      {failing.length > 0 && (
        <Sideways label="Targets that are not up">
          <table className={classes.table} aria-label="Targets that are not up">
            <thead>
              <tr>
                <th>Pool</th>
                <th>Target</th>
                <th>Why</th>
                <th className={classes.n}>Last scrape</th>
              </tr>
            </thead>
            <tbody>
              {failing.slice(0, 8).map((t) => (
                <tr key={t.scrapePool + t.scrapeUrl}>
                  <td>{t.scrapePool}</td>
                  <td>{t.scrapeUrl}</td>
                  <td>{t.health === 'unknown' ? 'not scraped yet' : t.lastError || 'down'}</td>
                  <td className={classes.n}>
                    <When t={t.lastScrape} ago /> ago
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {failing.length > 8 && <Text size="xs">and {whole(failing.length - 8)} more</Text>}
        </Sideways>
      )}
      <Text size="xs" mt={4} style={{ overflowWrap: 'anywhere' }}>
        {by.slice(0, 12).map((p, i) => (
          <span key={p.name}>
            {i > 0 && ', '}
            {p.name} {p.up}/{p.up + p.down + p.unknown}
          </span>
        ))}
        {by.length > 12 && ` and ${by.length - 12} pools more`}
      </Text>
    </>
  )
}

interface Named {
  name: string
  value: number
}

interface Tsdb {
  headStats: { numSeries: number; numLabelPairs: number; chunkCount: number; minTime: number; maxTime: number }
  seriesCountByMetricName: Named[] | null
  labelValueCountByLabelName: Named[] | null
  memoryInBytesByLabelName: Named[] | null
  seriesCountByLabelValuePair: Named[] | null
}

/** What its database holds. */
export function Storage({ member }: { member: string }) {
  const of = useBelow<Tsdb>(member, 'api/v1/status/tsdb', { params: { limit: 8 }, every: 30_000 })
  return (
    <Section
      title="Storage"
      more={
        <Anchor component={Link} to={link('status', member)} size="sm">
          status
        </Anchor>
      }
    >
      <Answered of={of} what="storage status">
        {(d) => (
          <>
            <Text size="sm" mb={6}>
              {whole(d.headStats.numSeries)} series, {whole(d.headStats.chunkCount)} chunks and{' '}
              {whole(d.headStats.numLabelPairs)} label pairs in the head
            </Text>
            <div className={classes.pairs}>
              <Bars title="Metrics by series" rows={d.seriesCountByMetricName ?? []} />
              <Bars title="Labels by values" rows={d.labelValueCountByLabelName ?? []} />
              <Bars title="Label pairs by series" rows={d.seriesCountByLabelValuePair ?? []} />
              <Bars title="Labels by memory" rows={d.memoryInBytesByLabelName ?? []} format={bytes} />
            </div>
          </>
        )}
      </Answered>
    </Section>
  )
}

/** What it evaluates, and what fires. */
export function Rules({ member }: { member: string }) {
  const of = useBelow<{ groups: RuleGroup[] | null }>(member, 'api/v1/rules', { every })
  return (
    <Section
      title="Rules and alerts"
      more={
        <Group gap="sm">
          <Anchor component={Link} to={link('rules', member)} size="sm">
            rules
          </Anchor>
          <Anchor component={Link} to={link('alerts', member)} size="sm">
            alerts
          </Anchor>
        </Group>
      }
    >
      <Answered of={of} what="rules">
        {(d) => {
          const sums = ruleSums(d.groups ?? [])
          if (sums.groups === 0) return <Text size="sm">It evaluates no rules.</Text>
          return (
            <>
              <Text size="sm">
                {sums.recording} recording and {sums.alerting} alerting rules in {sums.groups} groups
              </Text>
              <Named
                level={sums.failing.length > 0 ? 'bad' : 'good'}
                what="failing"
                rules={sums.failing.map((r) => `${r.name}${r.lastError ? ': ' + r.lastError : ''}`)}
              />
              <Named
                level={sums.firing.length > 0 ? 'bad' : 'good'}
                what="firing"
                rules={sums.firing.map((r) => `${r.name} (${r.alerts?.length ?? 0})`)}
              />
              {sums.pending.length > 0 && <Named level="warn" what="pending" rules={sums.pending.map((r) => r.name)} />}
            </>
          )
        }}
      </Answered>
    </Section>
  )
}

function Named({ level, what, rules }: { level: 'good' | 'warn' | 'bad'; what: string; rules: string[] }) {
  return (
    <div>
      <Health level={level}>
        {rules.length === 0
          ? `none ${what}`
          : `${rules.length} ${what}: ${rules.slice(0, 5).join('; ')}${rules.length > 5 ? ' …' : ''}`}
      </Health>
    </div>
  )
}

/** What it keeps of rollups, and its configuration as it tells of it. */
export function Kept({ member }: { member: string }) {
  const rollups = useBelow<{ rules: Rollup[] | null }>(member, 'pando/api/v1/rollups', { every: 30_000, plain: true })
  const config = useBelow<{ revision?: string; loadedAt?: number; refused?: boolean }>(member, 'pando/api/v1/config', {
    every: 30_000,
    plain: true,
  })
  return (
    <Section
      title="Configuration and rollups"
      more={
        <Anchor component={Link} to={link('config', member)} size="sm">
          configuration
        </Anchor>
      }
    >
      <Answered of={config} what="configuration state">
        {(c) => (
          <>
            <Health level={c.refused ? 'bad' : 'good'}>
              {c.refused
                ? 'the latest configuration was refused: an older one is in effect'
                : 'its latest configuration is in effect'}
            </Health>
            <Text size="sm">
              {c.revision ? (
                <>
                  revision <code style={{ overflowWrap: 'anywhere' }}>{c.revision}</code>
                </>
              ) : (
                'not delivered by a rollout: it has no revision'
              )}
              {c.loadedAt !== undefined && (
                <>
                  , loaded <When t={c.loadedAt * 1000} />
                </>
              )}
            </Text>
          </>
        )}
      </Answered>
      <Answered of={rollups} what="rollups">
        {(d) => {
          const rules = d.rules ?? []
          if (rules.length === 0) return <Text size="sm">It keeps no rollups.</Text>
          const broken = rules.filter((r) => r.partial > 0 || r.absent > 0)
          return (
            <Health level={broken.length > 0 ? 'warn' : 'good'}>
              {rules.length} rollups,{' '}
              {broken.length === 0
                ? 'all whole'
                : `${broken.length} with points that are not whole: ${broken.map((r) => r.name).join(', ')}`}
              ; up to {duration(furthestBehind(rules))} behind
            </Health>
          )
        }}
      </Answered>
    </Section>
  )
}
