import type { TreeNode } from '../api/tree.ts'
import { bytes, count, duration, none, whole } from '../format/numbers.ts'
import { Health } from '../parts/Health.tsx'
import { When } from '../parts/When.tsx'
import { short } from '../format/revisions.ts'

import { gapTime, hintMeans, hintWord, lagOf, standing, standings } from '../leaves/standing.ts'
import type { Fan } from './fanout.ts'

/** What is told of a member when the pointer is over it. */
export function Tip({
  node,
  at,
  fan,
  asked,
}: {
  node: TreeNode
  at: string | undefined
  fan: Fan | undefined
  asked: boolean
}) {
  const s = standings[standing(node, at)]
  const gaps = gapTime(node, at)
  return (
    <>
      <b>{node.name}</b> <span style={{ color: 'var(--mantine-color-dimmed)' }}>{node.tier}</span>
      <div>
        <Health level={s.level}>
          {s.title}
          {node.state === 'missing' && node.since && (
            <>
              {' since '}
              <When t={node.since} /> (<When t={node.since} ago />)
            </>
          )}
        </Health>
      </div>
      {node.error && <div style={{ color: 'var(--mantine-color-error)' }}>{node.error}</div>}
      {asked && <Asked fan={fan} />}
      <dl>
        {node.shard && <Line k="shard" v={node.shard} />}
        {node.replica && <Line k="replica" v={node.replica} />}
        {node.tier !== 'leaf' && <Line k="leaves" v={whole(node.leaves)} />}
        <Line k="series" v={whole(node.series)} />
        <Line k="samples/s" v={count(node.sampleRate)} />
        <Line k="newest sample" v={node.maxt ? duration(lagOf(node, at)) + ' old' : none} />
        {gaps > 0 && <Line k="gaps" v={duration(gaps)} />}
        {node.rtt !== undefined && <Line k="round trip" v={duration(node.rtt)} />}
        <Line k="hint" v={node.hint?.synced ? `prunes, ${bytes(node.hint.bytes)}` : hintMeans(hintWord(node))} />
        {node.version && <Line k="version" v={node.version} />}
        {node.revision && (
          <Line k="revision" v={short(node.revision) + (node.reloadFailed ? ' (reload failed)' : '')} />
        )}
      </dl>
    </>
  )
}

function Line({ k, v }: { k: string; v: string }) {
  return (
    <>
      <dt>{k}</dt>
      <dd>{v}</dd>
    </>
  )
}

/** What became of a member in a query, in words. */
export function fanText(f: Fan | undefined): string {
  if (!f) return 'not told what became of it'
  const where = f.above ? `not reached: ${f.above} ` : ''
  if (f.failed) return `${where || ''}${f.late ? 'late: ' : 'failed: '}${f.failed}`
  if (f.verdict !== 'asked')
    return `${where}${f.verdict.replace('pruned-', 'pruned by ')}${f.evidence ? ': ' + f.evidence : ''}`
  const extra = [f.cached && 'in part from a cache', f.hedged && 'raced with a replica'].filter(Boolean)
  const parts = [f.empty ? 'asked in vain' : 'asked']
  if (f.empty === false)
    parts.push(
      `${count(f.series)} series, ${count(f.samples)} ${f.samples === 1 ? 'sample' : 'samples'}, ${bytes(f.bytes)}`,
    )
  if (f.time > 0) parts.push(duration(f.time))
  return [...parts, ...extra].join(', ')
}

function Asked({ fan }: { fan: Fan | undefined }) {
  return <div style={{ fontWeight: 600 }}>{fanText(fan)}</div>
}
