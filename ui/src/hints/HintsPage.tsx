import { Alert, Paper, Text, TextInput, Title } from '@mantine/core'
import { useDeferredValue, useMemo } from 'react'
import type { Hints } from '../api/hints.ts'
import { unreadable, useBelow } from '../api/below.ts'
import { useAddress } from '../app/useAddress.ts'
import { useTree, type Tree } from '../api/tree.ts'
import { findMember } from '../leaf/found.ts'
import { DataTable } from '../parts/DataTable.tsx'
import { Empty } from '../parts/Empty.tsx'
import { Loading } from '../parts/Loading.tsx'
import { MemberPicker } from '../parts/MemberPicker.tsx'
import { Page } from '../parts/Page.tsx'
import { Unread } from '../parts/Unread.tsx'
import { Child } from './Child.tsx'
import { childColumns } from './children.tsx'
import { Kinds, Labels, Sums, Unused } from './Savings.tsx'
import { Scheme } from './Scheme.tsx'
import { WhoHas } from './WhoHas.tsx'

const zones = ['zone']

export default function HintsPage() {
  const read = useTree()
  const { data: tree, error, isPending } = read
  const { params, set: change } = useAddress()
  const set = (changes: Record<string, string>) => change(changes, { push: true })
  const child = params.get('child') ?? ''
  // A leaf two tiers down is the child of its zone: that zone holds its hint.
  const found = tree && child ? findMember(tree, child)[0] : undefined
  const tier = found ? (found.above.at(-1)?.name ?? '') : (params.get('tier') ?? '')
  return (
    <Page
      path="hints"
      actions={
        <MemberPicker
          label="Whose children"
          tiers={zones}
          value={tier}
          onChange={(name) => set({ tier: name, child: '' })}
        />
      }
    >
      <Unread what="The tree" of={read} />
      {isPending && error === null && <Loading what="asking for the tree" />}
      {tree && (
        <>
          <WhoHas
            wanted={{
              selector: params.get('selector') ?? '',
              start: params.get('start') ?? '',
              end: params.get('end') ?? '',
            }}
            onWanted={(w) => set({ ...w })}
            tree={tree}
          />
          <Tier key={tier} tier={tier} tree={tree} child={child} onChild={(name) => set({ child: name, tier })} />
        </>
      )}
    </Page>
  )
}

/** The hints that one tier holds of its children. */
export function Tier({
  tier,
  tree,
  child,
  onChild,
}: {
  tier: string
  tree: Tree
  child: string
  onChild: (name: string) => void
}) {
  const read = useBelow<Hints>(tier, 'pando/api/v1/hints', { every: 5000 })
  const { data: hints, error, isPending } = read
  const why = error === null || hints ? undefined : unreadable(error)
  const node = child ? findMember(tree, child)[0]?.node : undefined
  return (
    <>
      {why !== undefined && (
        <Alert color="orange" p="xs" mb="xs" title="Its hints cannot be read from here">
          {why}
        </Alert>
      )}
      {why === undefined && <Unread what="The hints" of={read} />}
      {isPending && error === null && <Loading what="asking for hints" />}
      {child !== '' && !node && (
        <Alert color="orange" p="xs" mb="xs">
          No member is named {child}: it was forgotten, or has another name now.
        </Alert>
      )}
      {node && (
        <Child
          key={node.name}
          child={hints?.children.find((c) => c.name === node.name)}
          node={node}
          onClose={() => onChild('')}
        />
      )}
      {hints && <All hints={hints} tree={tree} child={child} onChild={onChild} />}
    </>
  )
}

function All({
  hints,
  tree,
  child,
  onChild,
}: {
  hints: Hints
  tree: Tree
  child: string
  onChild: (name: string) => void
}) {
  const { params, set } = useAddress()
  const q = params.get('q') ?? ''
  const search = useDeferredValue(q.trim().toLowerCase())
  const rows = useMemo(
    () =>
      hints.children.filter(
        (c) =>
          search === '' || `${c.name} ${c.tier} ${c.reason ?? ''} ${c.unsynced ?? ''}`.toLowerCase().includes(search),
      ),
    [hints, search],
  )
  const self = findMember(tree, hints.name)[0]?.node
  return (
    <>
      {hints.children.length > 0 ? (
        <>
          <Sums hints={hints} />
          <Unused hints={hints} />
          <Kinds hints={hints} />
          {hints.savings && <Labels savings={hints.savings} />}
          <Title order={2} size="h5" mb={4}>
            By child of {hints.name}
          </Title>
          <TextInput
            size="xs"
            maw={320}
            mb="xs"
            placeholder="name or reason"
            aria-label="Search children"
            value={q}
            onChange={(e) => set({ q: e.currentTarget.value })}
          />
          <DataTable
            label="Hints of children"
            rows={rows}
            columns={childColumns}
            rowKey={(c) => c.name}
            onOpen={(c) => onChild(c.name)}
            minWidth="1240px"
            height="520px"
          />
        </>
      ) : (
        hints.tier !== 'leaf' && (
          <Empty title="No children, no hints">
            Children that connect to this {hints.tier} send a hint: a filter of what they hold, by which queries skip
            those that cannot have a match. None has connected yet.
          </Empty>
        )
      )}
      {hints.own && child === '' && (
        <Paper withBorder p="sm" mt="md" component="section" aria-label="What this tier tells its parents">
          <Title order={2} size="h5">
            What {hints.name} tells its parents
          </Title>
          <Scheme own={hints.own} series={self?.series ?? 0} />
        </Paper>
      )}
      {hints.tier === 'leaf' && !hints.own && (
        <Text size="sm">This leaf offers no hint: hints are switched off here.</Text>
      )}
    </>
  )
}
