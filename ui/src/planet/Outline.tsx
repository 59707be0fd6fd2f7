import { useComputedColorScheme, VisuallyHidden } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react'
import type { Colouring } from './colouring.ts'
import type { Place } from './layout.ts'
import type { Live } from './look.ts'
import { itemsOf, moved, type Item } from './outline.ts'
import { grounds } from './paint.ts'
import classes from './planet.module.css'
import { Mark } from './SvgMap.tsx'

interface Props {
  root: Place
  live: Live
  colouring: Colouring
  wanted: ((p: Place) => boolean) | undefined
  height: number
  onOpen: (p: Place) => void
  /** Is told which member has the focus. */
  onFocus: (id: string) => void
}

const few = 40
const rowHeight = 26

/** The tree as a list for keyboards and screen readers, which says in words what the drawing shows. */
export function Outline({ root, live, colouring, wanted, height, onOpen, onFocus }: Props) {
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const ground = grounds[scheme]
  const [open, setOpen] = useState<ReadonlySet<string>>(() =>
    root.leaves().length <= few ? everything(root) : new Set(),
  )
  const [focus, setFocus] = useState(0)
  const items = useMemo(() => itemsOf(root, open, wanted), [root, open, wanted])
  const scroller = useRef<HTMLDivElement>(null)
  const wish = useRef(false)
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 10,
  })
  const current = Math.min(focus, Math.max(0, items.length - 1))

  const toggle = (id: string) => {
    const next = new Set(open)
    if (!next.delete(id)) next.add(id)
    setOpen(next)
  }
  const to = (i: number) => {
    setFocus(i)
    wish.current = true
    virtual.scrollToIndex(i)
    onFocus(items[i]?.id ?? '')
  }
  useEffect(() => {
    if (!wish.current) return
    wish.current = false
    // The line may have been drawn only now.
    scroller.current?.querySelector<HTMLElement>(`[data-line="${current}"]`)?.focus()
  })
  const keys = (i: number) => (e: KeyboardEvent) => {
    const item = items[i]
    if (!item) return
    if (e.key === 'Enter' || e.key === ' ') {
      e.preventDefault()
      onOpen(item.place)
      return
    }
    const m = moved(items, i, e.key)
    if (!m) return
    e.preventDefault()
    if ('to' in m) to(m.to)
    else toggle(m.toggle)
  }
  return (
    <div ref={scroller} className={classes.outline} style={{ height }} role="tree" aria-label="Members of the tree">
      <div role="presentation" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {virtual.getVirtualItems().map((v) => {
          const item = items[v.index] as Item
          const node = live.nodes.get(item.id) ?? item.place.data
          const kind = colouring.classes.find((c) => c.id === colouring.of(node, item.id))
          const text = colouring.text(node, item.id)
          return (
            <div
              key={item.id}
              data-line={v.index}
              role="treeitem"
              aria-level={item.level}
              aria-expanded={item.open}
              aria-setsize={item.siblings}
              aria-posinset={item.position}
              aria-selected={false}
              tabIndex={v.index === current ? 0 : -1}
              className={classes.item}
              style={{ transform: `translateY(${v.start}px)`, paddingLeft: 8 + (item.level - 1) * 16 }}
              onKeyDown={keys(v.index)}
              onFocus={() => onFocus(item.id)}
              onBlur={() => onFocus('')}
              onClick={() => {
                setFocus(v.index)
                if (item.open !== undefined && !wanted) toggle(item.id)
                else onOpen(item.place)
              }}
            >
              <span aria-hidden="true" style={{ width: 10 }}>
                {item.open === undefined ? '' : item.open ? '▾' : '▸'}
              </span>
              {kind && (
                <svg width="10" height="10" aria-hidden="true" style={{ flex: 'none' }}>
                  <rect width="10" height="10" rx="1" fill={kind.color[ground.dark ? 1 : 0]} />
                  <Mark mark={kind.mark} w={10} h={10} ground={ground} />
                </svg>
              )}
              <span className={classes.grow} title={node.name}>
                {node.name}
              </span>
              <span
                style={{
                  color: kind?.alarming ? ground.alarm : 'var(--mantine-color-dimmed)',
                  fontVariantNumeric: 'tabular-nums',
                }}
              >
                {text}
              </span>
              <VisuallyHidden>
                {node.tier}, {kind?.title}
              </VisuallyHidden>
            </div>
          )
        })}
      </div>
    </div>
  )
}

function everything(root: Place): Set<string> {
  const ids = new Set<string>()
  root.each((p) => void ids.add((p as Place).id ?? ''))
  return ids
}
