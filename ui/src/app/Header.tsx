import { ActionIcon, Anchor, Group, Text, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { IconMoon, IconSun } from '@tabler/icons-react'
import { Link } from 'react-router'
import { prefix } from '../api/client.ts'
import { useTree, walk, type Tree } from '../api/tree.ts'
import { Health, type Level } from '../parts/Health.tsx'
import { useSettings } from './settings.tsx'

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

/** How the tree below is, in one word with its reason: nothing else of the frame may hide that a leaf is away. */
export function treeHealth(tree: Tree): { level: Level; text: string } {
  let missing = 0
  walk(tree.children, (n) => {
    if (n.state === 'missing') missing++
  })
  const leaves = tree.self.leaves
  if (missing > 0) return { level: 'bad', text: `${missing} missing` }
  if (tree.self.tier === 'leaf') return { level: 'good', text: 'up' }
  return leaves === 0
    ? { level: 'off', text: 'no leaves yet' }
    : { level: 'good', text: leaves === 1 ? '1 leaf' : `${leaves} leaves` }
}

function TreeHealth({ tree, failed }: { tree: Tree | undefined; failed: boolean }) {
  if (failed) return <Health level="bad">unreachable</Health>
  if (!tree) return null
  const { level, text } = treeHealth(tree)
  return (
    <Anchor
      component={Link}
      to={level === 'bad' ? '/leaves?state=missing' : '/planet'}
      underline="never"
      c="inherit"
      style={{ whiteSpace: 'nowrap' }}
    >
      <Health level={level}>{text}</Health>
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
