import { Anchor, Group, Text } from '@mantine/core'
import type { ReactNode } from 'react'
import { Link } from 'react-router'
import type { Parent, TreeNode } from '../api/tree.ts'
import { bytes, count, duration, none, percent, whole } from '../format/numbers.ts'
import { Forget } from '../leaves/Forget.tsx'
import { short } from '../format/revisions.ts'

import { gapTime, hintMeans, hintWord, lagMeans, lagOf, standing, standings } from '../leaves/standing.ts'
import { Health } from '../parts/Health.tsx'
import { Labels } from '../parts/Labels.tsx'
import { When } from '../parts/When.tsx'
import classes from './leaf.module.css'
import { Section } from './Section.tsx'

function Line({ k, title, children }: { k: string; title?: string; children: ReactNode }) {
  return (
    <>
      <dt title={title}>{k}</dt>
      <dd>{children}</dd>
    </>
  )
}

/** Who the member is and how it is, as the tier above it knows. */
export function Identity({ node, above, at }: { node: TreeNode; above: TreeNode[]; at: string | undefined }) {
  const s = standings[standing(node, at)]
  return (
    <Section title="Identity and state">
      <dl className={classes.facts}>
        <Line k="labels">
          {node.labels && Object.keys(node.labels).length > 0 ? <Labels labels={node.labels} /> : none}
        </Line>
        {node.shard && <Line k="shard">{node.shard}</Line>}
        {node.replica && <Line k="replica">{node.replica}</Line>}
        <Line k="state">
          <Health level={s.level}>{s.title}</Health>{' '}
          <Text span size="sm" c="dimmed">
            {s.means}
          </Text>
        </Line>
        {node.since && (
          <Line k={node.state === 'missing' ? 'missing since' : 'connected since'}>
            <When t={node.since} /> (<When t={node.since} ago />)
          </Line>
        )}
        {node.error && (
          <Line k="because">
            <Text span size="sm" c="red">
              {node.error}
            </Text>
          </Line>
        )}
        <Line k="below">
          <Group gap={6}>
            {above.length === 0 && (node.state === 'self' ? 'this is the tier that serves the console' : 'this tier')}
            {above.map((n) => (
              <Anchor key={n.name} component={Link} to={`/leaf?name=${encodeURIComponent(n.name)}`} size="sm">
                {n.name}
              </Anchor>
            ))}
          </Group>
        </Line>
        <Line k="version">{node.version || none}</Line>
        <Line k="configuration">
          {node.revision ? (
            <code title={node.revision}>{short(node.revision)}</code>
          ) : (
            'no delivered revision, or not told'
          )}
          {node.reloadFailed && (
            <Text span size="sm" c="red">
              {' '}
              its latest configuration could not be loaded: this is an older one
            </Text>
          )}
        </Line>
        <Line k="series">{whole(node.series)}</Line>
        <Line k="samples/s">{count(node.sampleRate)}</Line>
        <Line k="round trip">{duration(node.rtt)}</Line>
        <Line k="lag" title={lagMeans}>
          {node.maxt ? duration(lagOf(node, at)) : 'no sample yet'}{' '}
          <Text span size="xs" c="dimmed">
            from its newest sample to now; at most the scrape interval, a heartbeat (1 s) for each tier between, and the
            difference of the clocks
          </Text>
        </Line>
        <Line k="samples from">
          <When t={node.mint} /> to <When t={node.maxt} />
        </Line>
      </dl>
      <Forget node={node} above={above.at(-1)?.name} />
    </Section>
  )
}

/** Its field hint, as the tier above it holds it, and how far its parents have come with it. */
export function HintOf({ node, parents }: { node: TreeNode; parents: Parent[] | undefined }) {
  const word = hintWord(node)
  return (
    <Section
      title="Hint"
      more={
        <Anchor component={Link} to={`/hints?child=${encodeURIComponent(node.name)}`} size="sm">
          Hints
        </Anchor>
      }
    >
      <Health level={word === 'prunes' ? 'good' : word === 'none' ? 'off' : 'warn'}>{word}</Health>
      <Text size="sm" c="dimmed">
        {hintMeans(word)}
      </Text>
      {node.hint && (
        <dl className={classes.facts}>
          <Line k="fingerprints">{whole(node.hint.fingerprints)}</Line>
          <Line k="size">
            {bytes(node.hint.bytes)}
            {node.series > 0 && ` (${(node.hint.bytes / node.series).toFixed(1)} B a series)`}
          </Line>
          <Line k="latest update">{duration(node.hint.age)} ago</Line>
          <Line k="false positives" title="The estimated share of absent fingerprints that seem to be there">
            {percent(node.hint.falsePositiveRate)} estimated
          </Line>
        </dl>
      )}
      {parents && parents.length > 0 && (
        <>
          <Text size="xs" fw={600} mt="xs">
            Links to parents
          </Text>
          {parents.map((p) => (
            <div key={p.address}>
              <Health level={p.state === 'connected' ? 'good' : 'bad'}>
                {p.name ? `${p.name} (${p.address})` : p.address} {p.state}
                {p.since && (
                  <>
                    {' for '}
                    <When t={p.since} ago />
                  </>
                )}
                {p.error && `: ${p.error}`}
                {p.hints?.unused && `; does not use its hints: ${p.hints.unused}`}
                {p.hints &&
                  p.hints.unacknowledgedBytes > 0 &&
                  `; hints under way: ${bytes(p.hints.unacknowledgedBytes)}`}
              </Health>
            </div>
          ))}
        </>
      )}
    </Section>
  )
}

/** The times when it may have missed samples, on a line and as a list. */
export function Gaps({ node, at }: { node: TreeNode; at: string | undefined }) {
  const gaps = node.gaps ?? []
  const begin = node.mint ? Date.parse(node.mint) : 0
  const end = at ? Date.parse(at) : Date.now()
  const share = (t: string | undefined) =>
    Math.min(100, Math.max(0, (100 * ((t ? Date.parse(t) : end) - begin)) / (end - begin)))
  return (
    <Section title="Gaps">
      {gaps.length === 0 ? (
        <Text size="sm">
          {node.mint ? (
            <>
              None since its oldest sample, <When t={node.mint} />.
            </>
          ) : (
            'It has no sample yet.'
          )}
        </Text>
      ) : (
        <>
          <Text size="sm" mb={4}>
            {duration(gapTime(node, at))} in {gaps.length === 1 ? 'one gap' : `${gaps.length} gaps`}, of the{' '}
            {duration((end - begin) / 1000)} since its oldest sample. Samples may have been missed then: the leaf was
            down, or not scraping.
          </Text>
          <div className={classes.line} role="img" aria-label="Gaps on a line from the oldest sample to now">
            {gaps.map((g) => (
              <span
                key={g.start}
                style={{ left: share(g.start) + '%', width: `max(2px, ${share(g.end) - share(g.start)}%)` }}
              />
            ))}
          </div>
          <ul className={classes.list}>
            {[...gaps]
              .reverse()
              .slice(0, 20)
              .map((g) => (
                <li key={g.start}>
                  <When t={g.start} /> to {g.end ? <When t={g.end} /> : 'now'}:{' '}
                  {duration(((g.end ? Date.parse(g.end) : end) - Date.parse(g.start)) / 1000)}
                </li>
              ))}
          </ul>
          {gaps.length > 20 && <Text size="xs">and {gaps.length - 20} older</Text>}
        </>
      )}
    </Section>
  )
}
