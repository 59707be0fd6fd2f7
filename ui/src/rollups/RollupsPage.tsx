import { Accordion, Alert, Anchor, Code, Group, SegmentedControl, Text } from '@mantine/core'
import { Link, useSearchParams } from 'react-router'
import { useMember } from '../api/member.ts'
import { behind, furthestBehind, useRollups, type Awaited, type Rollup, type RollupList } from '../api/rollups.ts'
import { useSettings } from '../app/settings.tsx'
import { duration, percent, whole } from '../format/numbers.ts'
import { useNow } from '../app/useNow.ts'
import { dateTime, promDuration } from '../format/times.ts'
import { Empty } from '../parts/Empty.tsx'
import { Failure } from '../parts/Failure.tsx'
import { Health, type Level } from '../parts/Health.tsx'
import { Loading } from '../parts/Loading.tsx'
import { MemberPicker } from '../parts/MemberPicker.tsx'
import { Page } from '../parts/Page.tsx'
import { Stats } from '../parts/Stats.tsx'
import { Unread } from '../parts/Unread.tsx'
import { Backfill } from './Backfill.tsx'
import { Coverage, Holes } from './Coverage.tsx'
import { StripLegend, StripPattern } from './Strip.tsx'
import { wholeShare } from './strip.ts'

const spans = { '1h': 3600, '6h': 21600, '1d': 86400, '1w': 604800 }

export default function RollupsPage() {
  const [member, setMember] = useMember()
  return (
    <Page
      path="rollups"
      actions={<MemberPicker value={member} onChange={setMember} label="Tier whose rollups are shown" />}
    >
      <Rollups key={member} member={member} />
    </Page>
  )
}

/** The rollups that one tier keeps. */
export function Rollups({ member }: { member: string }) {
  const read = useRollups(member)
  const { data } = read
  const note = <Unread what="The list of rollups" of={read} />
  if (data === undefined) return read.error ? note : <Loading what="reading the rollups" />
  return (
    <>
      {note}
      {data === null || data.rules.length === 0 ? (
        <Empty title="No rollups are kept here">
          A rule in the file of --rollup.file has leaves, zones and the root keep an aggregate, and answer from it
          whatever query it answers exactly. <Code>pando rollup suggest</Code> proposes rules from the queries that were
          asked.
        </Empty>
      ) : (
        <Rules list={data} member={member} />
      )}
    </>
  )
}

/** How a rule is, in a word. */
export function ruleHealth(r: Rollup): { level: Level; text: string } {
  if (r.blocked) return { level: 'bad', text: 'not read: what makes points void cannot be stored' }
  if (r.absent > 0) return { level: 'bad', text: `${whole(r.absent)} absent` }
  if (r.failing) return { level: 'warn', text: 'failing' }
  if (r.partial + r.unfit > 0) return { level: 'warn', text: `${whole(r.partial + r.unfit)} not usable` }
  return r.until ? { level: 'good', text: 'whole' } : { level: 'off', text: 'no point yet' }
}

/** Who is away, and until when points wait for them. */
function WaitsFor({ awaited }: { awaited: Awaited[] }) {
  const { zone } = useSettings()
  const now = useNow(10_000)
  if (awaited.length === 0) return null
  const at = (t: number) => dateTime(t * 1000, zone)
  const state = (a: Awaited) => {
    if (a.released === 0) return 'has just gone: points wait for it'
    const waits = a.released * 1000 > now
    return `is away since ${at(a.since)}: points ${waits ? 'wait for it until' : 'are made without it since'} ${at(a.released)}`
  }
  return (
    <Alert color="orange" my="xs" title="Not all children are there">
      {awaited.map((a) => (
        <Text key={a.name} size="sm" style={{ overflowWrap: 'anywhere' }}>
          {a.name} {state(a)}
        </Text>
      ))}
    </Alert>
  )
}

function Rules({ list, member }: { list: RollupList; member: string }) {
  const [params, setParams] = useSearchParams()
  const span = (params.get('span') ?? '1h') as keyof typeof spans
  const set = (name: string, value: string) =>
    setParams((p) => {
      p.set(name, value)
      return p
    })
  const bad = list.rules.filter((r) => ruleHealth(r).level === 'bad').length
  const furthest = furthestBehind(list.rules)
  const key = (r: Rollup) => `${r.id}/${r.every}`
  return (
    <>
      <StripPattern />
      <Stats
        stats={[
          { label: 'Rules', value: list.rules.length },
          { label: 'With absent points', value: bad },
          {
            label: 'Furthest behind',
            value: duration(furthest),
            hint: 'Age of the newest point, with all before it whole, of the rule that is furthest behind; none if the first of one is absent',
          },
          {
            label: 'Queries answered',
            value: whole(list.rules.reduce((n, r) => n + (r.queries ?? 0), 0)),
            hint: 'Queries to this tier, since it started, in whose answer a rollup had a part',
          },
        ]}
      />
      <WaitsFor awaited={list.awaited ?? []} />
      <Group justify="space-between" mb="xs">
        <SegmentedControl
          size="xs"
          value={span in spans ? span : '1h'}
          onChange={(v) => set('span', v)}
          data={Object.keys(spans)}
          aria-label="How far back"
        />
        {member === '' && <Backfill rules={[...new Set(list.rules.map((r) => r.name))]} />}
      </Group>
      <StripLegend untold={list.rules.some((r) => (r.holesLeftOut ?? 0) > 0)} />
      <Accordion
        value={params.get('rule')}
        onChange={(v) => set('rule', v ?? '')}
        variant="separated"
        chevronPosition="left"
      >
        {list.rules.map((r) => (
          <Accordion.Item key={key(r)} value={key(r)}>
            <Accordion.Control>
              <Group gap="sm" justify="space-between" wrap="wrap">
                <Text fw={600} style={{ overflowWrap: 'anywhere' }}>
                  {r.name}
                </Text>
                <Health level={ruleHealth(r).level}>{ruleHealth(r).text}</Health>
              </Group>
              <Text size="xs" c="dimmed">
                a point every {promDuration(r.every)}, kept for {promDuration(r.for)} · {percent(wholeShare(r))} of what
                is owed is whole · {duration(behind(r))} behind · {whole(r.queries)} queries
              </Text>
              <Coverage list={list} rule={r} seconds={spans[span] ?? 3600} below={false} />
            </Accordion.Control>
            <Accordion.Panel>
              <Anchor component={Link} to={`/query?g0.expr=${encodeURIComponent(r.expr)}&g0.tab=graph`} size="sm">
                <Code style={{ overflowWrap: 'anywhere' }}>{r.expr}</Code>
              </Anchor>
              {r.failing && (
                <Failure
                  what="The last attempt to make points failed"
                  error={r.failing}
                  todo="It is tried again by itself, and what is owed is made good then. Until then queries read what is below."
                />
              )}
              {params.get('rule') === key(r) && (
                <Coverage
                  list={list}
                  rule={r}
                  seconds={spans[span] ?? 3600}
                  below={list.tier !== 'leaf'}
                  member={member}
                />
              )}
              <Holes holes={r.holes ?? []} leftOut={r.holesLeftOut ?? 0} />
            </Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
    </>
  )
}
