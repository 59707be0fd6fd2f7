import { Anchor, Breadcrumbs, Group, SegmentedControl, Select, Text, TextInput } from '@mantine/core'
import { useViewportSize } from '@mantine/hooks'
import { IconSearch } from '@tabler/icons-react'
import { useDeferredValue, useMemo, useRef, useState } from 'react'
import { useNavigate } from 'react-router'
import { useAddress } from '../app/useAddress.ts'
import { useTree, walk, type Tree, type TreeNode } from '../api/tree.ts'
import { whole } from '../format/numbers.ts'
import { leavesUnknown } from '../leaves/rows.ts'
import { parseSearch, searchHelp } from '../leaves/terms.ts'
import { Empty } from '../parts/Empty.tsx'
import { Loading } from '../parts/Loading.tsx'
import { Page } from '../parts/Page.tsx'
import { Unread } from '../parts/Unread.tsx'
import { Missing, Parents, Refused } from './Around.tsx'
import { colouringOf, modeOf, modes } from './colouring.ts'
import { Drawing } from './Drawing.tsx'
import { layoutOf, placesOf, type Hit, type Place, type Shape } from './layout.ts'
import { Legend } from './Legend.tsx'
import { liveOf, lookOf } from './look.ts'
import { remember, withStale, type Remembered } from './memory.ts'
import { Outline } from './Outline.tsx'
import classes from './planet.module.css'
import { askedOf, QueryBar, useFanOut } from './QueryBar.tsx'
import { Tip } from './Tip.tsx'
import { usePlaceOnPage } from './usePlaceOnPage.ts'

export default function PlanetPage() {
  const read = useTree()
  const { data: tree, error, isPending } = read
  return (
    <Page path="planet">
      <Unread what="The tree" of={read} />
      {isPending && error === null && <Loading what="asking for the tree" />}
      {tree && <Planet tree={tree} />}
    </Page>
  )
}

function awayOf(tree: Tree): TreeNode[] {
  const out: TreeNode[] = []
  walk(tree.children, (n) => {
    if (n.state === 'missing' || leavesUnknown(n)) out.push(n)
  })
  return out
}

function Planet({ tree }: { tree: Tree }) {
  const { params, set } = useAddress()
  const mode = modeOf(params.get('color'))
  const asked = askedOf(params)
  const result = useFanOut(asked, mode === 'query')
  const away = useMemo(() => awayOf(tree), [tree])
  const kept = useRef<Remembered>(undefined)
  const known = useMemo(() => (kept.current = remember(tree, kept.current)), [tree])
  const nothing = tree.self.tier !== 'leaf' && tree.children.length === 0
  return (
    <>
      <Missing nodes={away} />
      <Parents parents={tree.parents ?? []} />
      {nothing ? (
        <Empty title="Nothing below yet">
          No zone and no leaf has connected to this {tree.self.tier}. They dial their parent: start one with{' '}
          <code>pando leaf --parent=ADDRESS</code> or <code>pando zone --parent=ADDRESS</code>.
        </Empty>
      ) : (
        <>
          <Group gap="xs" mb="xs">
            <SegmentedControl
              size="xs"
              visibleFrom="md"
              aria-label="Colour by"
              data={modes}
              value={mode}
              onChange={(v) => set({ color: v === 'health' ? '' : v, only: '' })}
            />
            <Select
              size="xs"
              hiddenFrom="md"
              w={130}
              aria-label="Colour by"
              data={modes}
              value={mode}
              allowDeselect={false}
              onChange={(v) => set({ color: !v || v === 'health' ? '' : v, only: '' })}
            />
            <Search q={params.get('q') ?? ''} set={set} tree={tree} />
          </Group>
          {mode === 'query' && <QueryBar asked={asked} result={result} set={set} />}
          <Map tree={known.tree} stale={known.stale} fan={mode === 'query' ? result.data?.fan : undefined} />
        </>
      )}
      <Refused refused={tree.refused ?? []} />
    </>
  )
}

function Search({ q, set, tree }: { q: string; set: (c: Record<string, string>) => void; tree: Tree }) {
  const { error } = parseSearch(q, tree.at)
  return (
    <TextInput
      size="xs"
      style={{ flex: '1 1 180px', maxWidth: 420 }}
      leftSection={<IconSearch size={14} />}
      placeholder="highlight: zone=eu lag>30s …"
      aria-label="Highlight members"
      title={searchHelp}
      value={q}
      error={error}
      onChange={(e) => set({ q: e.currentTarget.value })}
    />
  )
}

const narrow = 720
const tallest = 6000
// Room for the buttons, on screens that are too narrow to have it beside the drawing.
const below = 46

function Map({ tree, stale, fan }: { tree: Tree; stale: ReadonlySet<string>; fan: Parameters<typeof colouringOf>[3] }) {
  const { params, set } = useAddress()
  const navigate = useNavigate()
  const mode = modeOf(params.get('color'))
  const focus = params.get('zone') ?? ''
  const only = params.get('only') ?? ''
  const q = useDeferredValue(params.get('q') ?? '')
  const { ref, width, top } = usePlaceOnPage()
  const window_ = useViewportSize()
  const [marked, setMarked] = useState('')

  const live = useMemo(() => liveOf(tree), [tree])
  // Who is where is computed anew only if somebody came or left: what moves every five seconds is colours alone.
  // oxlint-disable-next-line react-hooks/exhaustive-deps
  const root = useMemo(() => placesOf(tree, focus), [live.signature, focus])
  const height = window_.width < narrow ? undefined : Math.max(380, window_.height - top - 18)
  const shape = useRef<Shape>(undefined)
  const layout = useMemo(() => {
    if (width === 0) return undefined
    const l = layoutOf(root, width - 2, height && height - 2, shape.current)
    shape.current = l.shape
    return l
  }, [root, width, height])
  const members = useMemo(() => [...live.nodes.values()], [live])
  const colouring = useMemo(
    () => withStale(colouringOf(mode, members, tree.at, fan), stale),
    [mode, members, tree.at, fan, stale],
  )
  const search = useMemo(() => (q.trim() === '' ? undefined : parseSearch(q, tree.at)), [q, tree.at])
  const shown = search && !search.error ? search.match : undefined
  const look = useMemo(
    () => layout && lookOf(layout, live, colouring, shown, only),
    [layout, live, colouring, shown, only],
  )
  const size = useMemo(
    () => ({ w: Math.max(1, width - 2), h: height ?? Math.min(tallest, Math.max(200, (layout?.h ?? 0) + below)) }),
    [width, height, layout],
  )
  const wanted = useMemo(() => {
    if (!shown && !only) return undefined
    return (p: Place) => {
      const id = p.id ?? ''
      const node = live.nodes.get(id) ?? p.data
      return (!shown || shown(node, id.split(' > ').slice(0, -1))) && (!only || colouring.of(node, id) === only)
    }
  }, [shown, only, live, colouring])
  const shapes = useMemo(
    () => ({
      replicas: members.some((n) => n.tier === 'leaf' && n.replica),
      shards: members.some((n) => n.tier === 'leaf' && n.shard && !n.replica),
    }),
    [members],
  )

  const openPlace = (p: Place) => {
    if (p.data.tier !== 'leaf' && p.children?.length && p.parent) set({ zone: p.id ?? '' }, { push: true })
    else if (p.parent || p.data.tier === 'leaf') void navigate(`/leaf?name=${encodeURIComponent(p.data.name)}`)
  }
  const open = (h: NonNullable<Hit>) => openPlace(h.kind === 'cell' ? h.cell.place : h.box.place)
  const tip = (h: NonNullable<Hit>) => {
    const id = h.kind === 'cell' ? h.cell.id : h.box.id
    const place = h.kind === 'cell' ? h.cell.place : h.box.place
    return (
      <Tip
        node={live.nodes.get(id) ?? place.data}
        at={tree.at}
        fan={fan?.of(id)}
        asked={fan !== undefined && id !== ''}
      />
    )
  }
  const leaves = layout?.cells.length ?? 0
  return (
    <>
      <Crumbs root={root} focus={focus} onFocus={(id) => set({ zone: id }, { push: true })} />
      {look && (
        <Group gap="xs" mb="xs">
          <Legend
            look={look}
            only={only}
            onOnly={(id) => set({ only: id })}
            widthTitle={colouring.widthTitle}
            shapes={shapes}
          />
          {look.faint && (
            <Text size="xs" c="dimmed" role="status">
              {whole(look.found)} of {whole(leaves)} highlighted
            </Text>
          )}
        </Group>
      )}
      <div className={classes.split}>
        <div ref={ref} style={{ minHeight: height ?? 200 }}>
          {layout && look && (
            <Drawing
              layout={layout}
              look={look}
              size={size}
              marked={marked}
              label={`${whole(leaves)} leaves in ${whole(layout.boxes.length)} groups, coloured by ${modes.find((m) => m.value === mode)?.label.toLowerCase() ?? mode}.`}
              onOpen={open}
              tip={tip}
            />
          )}
        </div>
        <Outline
          key={focus}
          root={root}
          live={live}
          colouring={colouring}
          wanted={wanted}
          height={height ?? 320}
          onOpen={openPlace}
          onFocus={setMarked}
        />
      </div>
    </>
  )
}

function Crumbs({ root, focus, onFocus }: { root: Place; focus: string; onFocus: (id: string) => void }) {
  if (focus === '') return null
  const above = (root.ancestors() as Place[]).reverse()
  return (
    <Breadcrumbs mb="xs" separatorMargin={6}>
      {above.map((p) =>
        p.id === root.id ? (
          <Text size="sm" key={p.id} fw={600}>
            {p.data.name}
            {root.id !== focus && ` (${focus} is not in the tree any more)`}
          </Text>
        ) : (
          <Anchor component="button" size="sm" key={p.id} onClick={() => onFocus(p.id ?? '')}>
            {p.data.name}
          </Anchor>
        ),
      )}
    </Breadcrumbs>
  )
}
