import { ActionIcon, Anchor, Group, Text, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { IconMoon, IconSun } from '@tabler/icons-react'
import { Link } from 'react-router'
import { prefix } from '../api/client.ts'
import { overdue, useTree, walk, type Tree } from '../api/tree.ts'
import { promDuration } from '../format/times.ts'
import { leavesUnknown } from '../leaves/rows.ts'
import { Health, type Level } from '../parts/Health.tsx'
import { useSettings } from './settings.tsx'
import { useNow } from './useNow.ts'

/** The product's sign, and which tier this is. */
export function Brand() {
  const { data: tree, error } = useTree()
  return (
    <Group gap={8} wrap="nowrap" style={{ minWidth: 0 }}>
      <Anchor component={Link} to="/query" underline="never" c="inherit" aria-label="Pando">
        <Group gap={6} wrap="nowrap">
          <img src={prefix + 'icon.svg'} width={22} height={22} alt="" />
          <Text span fw={700} visibleFrom="xs">
            Pando
          </Text>
        </Group>
      </Anchor>
      {tree && (
        <Text
          span
          size="sm"
          c="dimmed"
          truncate
          title={`${tree.self.tier} ${tree.self.name} ${tree.self.version ?? ''}`}
        >
          {tree.self.name === tree.self.tier ? tree.self.tier : `${tree.self.tier} ${tree.self.name}`}
        </Text>
      )}
      <TreeHealth tree={tree} failed={error !== null} />
    </Group>
  )
}

/** How the tree below is, in one word with its reason, and the page that lists who: nothing else of the frame may hide that a leaf is away. */
export function treeHealth(tree: Tree): { level: Level; text: string; to: string } {
  let missing = 0
  let silent = 0
  walk(tree.children, (n) => {
    if (n.state === 'missing') missing++
    // A zone may be connected and hang: nobody knows how the leaves below it are.
    else if (leavesUnknown(n)) silent++
  })
  const bad = [...(missing > 0 ? [`${missing} missing`] : []), ...(silent > 0 ? [`${silent} silent`] : [])]
  if (bad.length > 0) {
    const state = silent === 0 ? 'missing' : missing === 0 ? 'untold' : 'problems'
    return { level: 'bad', text: bad.join(', '), to: `/leaves?state=${state}` }
  }
  const to = '/planet'
  if (tree.self.tier === 'leaf') return { level: 'good', text: 'up', to }
  const leaves = tree.self.leaves
  return leaves === 0
    ? { level: 'off', text: 'no leaves yet', to }
    : { level: 'good', text: leaves === 1 ? '1 leaf' : `${leaves} leaves`, to }
}

interface FrameHealth {
  level: Level
  text: string
  /** How old the tree is, if a newer one is overdue: then nobody knows how things are now. */
  old?: string
  /** The page that says more. */
  to?: string
}

/** What the frame says of the newest tree that came. */
export function frameHealth(tree: Tree | undefined, failed: boolean, now: number): FrameHealth | undefined {
  const age = tree && overdue(tree, now)
  const old = age === undefined ? {} : { old: `${promDuration(Math.round(age))} old` }
  if (failed) return { level: 'bad', text: 'unreachable', ...old }
  if (!tree) return undefined
  const health = treeHealth(tree)
  return { ...health, ...old, level: health.level === 'good' && age !== undefined ? 'warn' : health.level }
}

function TreeHealth({ tree, failed }: { tree: Tree | undefined; failed: boolean }) {
  const health = frameHealth(tree, failed, useNow(1000))
  if (!health) return null
  const said = (
    <>
      <Health level={health.level}>{health.text}</Health>
      {health.old && (
        <Text span size="xs" c="dimmed">
          {' '}
          {health.old}
        </Text>
      )}
    </>
  )
  if (!health.to) return <span style={{ whiteSpace: 'nowrap' }}>{said}</span>
  return (
    <Anchor component={Link} to={health.to} underline="never" c="inherit" style={{ whiteSpace: 'nowrap' }}>
      {said}
    </Anchor>
  )
}

/** The clock's zone, and light or dark. */
export function Controls() {
  const { zone, setZone } = useSettings()
  const { setColorScheme } = useMantineColorScheme()
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const other = scheme === 'dark' ? 'light' : 'dark'
  return (
    <Group gap={4} wrap="nowrap">
      <Tooltip label={zone === 'utc' ? 'Times are UTC; show local time' : 'Times are local; show UTC'}>
        <ActionIcon
          variant="subtle"
          color="gray"
          w="auto"
          px={6}
          onClick={() => setZone(zone === 'utc' ? 'local' : 'utc')}
        >
          <Text span size="xs" fw={600}>
            {zone === 'utc' ? 'UTC' : 'local'}
          </Text>
        </ActionIcon>
      </Tooltip>
      <Tooltip label={`Show ${other}`}>
        <ActionIcon variant="subtle" color="gray" onClick={() => setColorScheme(other)} aria-label={`Show ${other}`}>
          {scheme === 'dark' ? <IconSun size={16} /> : <IconMoon size={16} />}
        </ActionIcon>
      </Tooltip>
    </Group>
  )
}
