import { Anchor, CloseButton, Group, Paper, Text, Title } from '@mantine/core'
import { Link } from 'react-router'
import type { ChildHint, Hints } from '../api/hints.ts'
import { useBelow } from '../api/below.ts'
import type { TreeNode } from '../api/tree.ts'
import { bytes, percent, whole } from '../format/numbers.ts'
import { Answered } from '../leaf/Section.tsx'
import { When } from '../parts/When.tsx'
import { Sideways } from '../leaf/Sideways.tsx'
import classes from '../leaf/leaf.module.css'
import { Scheme } from './Scheme.tsx'
import { kinds, sparedShare, usesOf } from './sums.ts'

/** One child: what its hint saved, by which windows it is kept, and what the child itself decided to tell. */
export function Child({ child, node, onClose }: { child: ChildHint | undefined; node: TreeNode; onClose: () => void }) {
  const own = useBelow<Hints>(node.state === 'self' ? '' : node.name, 'pando/api/v1/hints', {
    enabled: node.state !== 'missing',
    every: 30_000,
  })
  return (
    <Paper withBorder p="sm" mb="md" component="section" aria-label={`The hint of ${node.name}`}>
      <Group justify="space-between" wrap="nowrap" mb={6}>
        <Title order={2} size="h5" style={{ overflowWrap: 'anywhere' }}>
          <Anchor component={Link} to={`/leaf?name=${encodeURIComponent(node.name)}`} inherit>
            {node.name}
          </Anchor>
        </Title>
        <CloseButton aria-label="Close" onClick={onClose} />
      </Group>
      {child && <AsHeld child={child} />}
      <Title order={3} size="h6" mt="sm">
        What it tells of itself
      </Title>
      {node.state === 'missing' && <Text size="sm">It is missing: it cannot be asked.</Text>}
      <Answered of={own} what="hints of its own">
        {(h) =>
          h.own ? (
            <Scheme own={h.own} series={node.series} />
          ) : (
            <Text size="sm">It offers no hint to its parents: hints are off there, or it is a root.</Text>
          )
        }
      </Answered>
    </Paper>
  )
}

function AsHeld({ child }: { child: ChildHint }) {
  const sections = child.hint?.sections ?? []
  return (
    <div className={classes.grid}>
      <Sideways label="Its uses by kind of selector">
        <table className={classes.table} aria-label="By kind of selector">
          <thead>
            <tr>
              <th>Selector of</th>
              <th className={classes.n}>Asked</th>
              <th className={classes.n}>in vain</th>
              <th className={classes.n}>Spared</th>
              <th className={classes.n}>Saved</th>
            </tr>
          </thead>
          <tbody>
            {kinds.map(({ kind, title, means }) => {
              const u = usesOf(child.uses, kind)
              return (
                <tr key={kind}>
                  <th scope="row" title={means} style={{ fontWeight: 400 }}>
                    {title}
                  </th>
                  <td className={classes.n}>{whole(u.asked)}</td>
                  <td className={classes.n}>{u.told > 0 ? percent(u.emptyRate) : '–'}</td>
                  <td className={classes.n}>{whole(u.spared)}</td>
                  <td className={classes.n}>{percent(sparedShare(u))}</td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </Sideways>
      {child.hint ? (
        <Sideways label="Windows of time">
          <table className={classes.table} aria-label="Windows of time">
            <thead>
              <tr>
                <th>Series with samples</th>
                <th className={classes.n}>Fingerprints</th>
                <th className={classes.n}>Size</th>
              </tr>
            </thead>
            <tbody>
              {sections.map((s, i) => (
                <tr key={i}>
                  <td>
                    {s.from === undefined && s.to === undefined ? (
                      'at any time'
                    ) : (
                      <>
                        {s.from === undefined ? (
                          'until '
                        ) : (
                          <>
                            from <When t={s.from * 1000} />{' '}
                          </>
                        )}
                        {s.to === undefined ? (
                          'on'
                        ) : s.from === undefined ? (
                          <When t={s.to * 1000} />
                        ) : (
                          <>
                            to <When t={s.to * 1000} />
                          </>
                        )}
                      </>
                    )}
                  </td>
                  <td className={classes.n}>{whole(s.fingerprints)}</td>
                  <td className={classes.n}>{bytes(s.bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <Text size="xs" c="dimmed">
            {child.hint.layers} layers, {percent(child.hint.fill)} full, {percent(child.hint.falsePositiveRate)} of
            absent fingerprints seem to be there (estimated)
          </Text>
        </Sideways>
      ) : (
        <Text size="sm">Nothing of its hint has come: {child.unsynced || child.reason || 'why is not told'}.</Text>
      )}
    </div>
  )
}
