import { Box, Text } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import {
  memo,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  type CSSProperties,
  type KeyboardEvent,
  type ReactNode,
} from 'react'
import classes from './DataTable.module.css'

/** A column of a DataTable. */
export interface Column<R> {
  key: string
  title: string
  /** What the column means, shown on hover. */
  hint?: string
  /** A CSS grid track, minmax(0, 1fr) without it. */
  width?: string
  /** Numbers stand at the right, so that digits are below each other. */
  numeric?: boolean
  render: (row: R) => ReactNode
  /** What is told of a cell when the pointer rests on it; cells that are cut tell all of their text so. */
  tip?: (row: R) => string | undefined
  /** What rows are sorted by; a column without it is not sortable. Undefined comes last. */
  sort?: (row: R) => number | string | undefined
}

export interface Sorting {
  key: string
  down: boolean
}

// Made once: one that is made for each comparison costs more than all else.
const texts = new Intl.Collator('en', { numeric: true })

/** Sorts rows by a column; equal ones stay in their order, unknown values come last either way. */
export function sorted<R>(rows: R[], columns: Column<R>[], by: Sorting | undefined): R[] {
  const of = by && columns.find((c) => c.key === by.key)?.sort
  if (!of) return rows
  const keyed = rows.map((row) => ({ row, key: of(row) }))
  keyed.sort((a, b) => {
    if (a.key === undefined || b.key === undefined) return a.key === b.key ? 0 : a.key === undefined ? 1 : -1
    const c =
      typeof a.key === 'number' && typeof b.key === 'number'
        ? a.key - b.key
        : texts.compare(String(a.key), String(b.key))
    return by.down ? -c : c
  })
  return keyed.map((k) => k.row)
}

interface Props<R> {
  /** What the rows are, for screen readers. */
  label: string
  rows: R[]
  columns: Column<R>[]
  rowKey: (row: R) => string
  /** Opens a row; rows are reachable by keyboard then. */
  onOpen?: (row: R) => void
  initial?: Sorting
  /** Told of each change of what rows are sorted by, to keep it in the address. */
  onSort?: (by: Sorting) => void
  /** The height of the scrolled part, as CSS; by default what is left of the window. */
  height?: string
  /** Below this width, as CSS, the table scrolls sideways. */
  minWidth?: string
}

// As in the style sheet, where rows have it.
const rowHeight = 34

/** A dense table that draws only the rows in sight, sortable by its headers, for ten thousands of rows. */
export function DataTable<R extends object>({
  label,
  rows,
  columns,
  rowKey,
  onOpen,
  initial,
  onSort,
  height,
  minWidth,
}: Props<R>) {
  const [by, setBy] = useState<Sorting | undefined>(initial)
  const sortBy = (s: Sorting) => {
    setBy(s)
    onSort?.(s)
  }
  const shown = useMemo(() => sorted(rows, columns, by), [rows, columns, by])
  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  })
  // Rows inherit their columns: set on each of them they would be read anew for each.
  const style = useMemo(
    () => ({ minWidth, '--tracks': columns.map((c) => c.width ?? 'minmax(0, 1fr)').join(' ') }) as CSSProperties,
    [columns, minWidth],
  )
  const opens = onOpen !== undefined
  const latest = useRef(onOpen)
  useEffect(() => {
    latest.current = onOpen
  })
  const open = useCallback((row: object) => latest.current?.(row as R), [])
  return (
    <Box
      ref={scroller}
      className={classes.scroller}
      style={{ maxHeight: height ?? 'max(240px, calc(100vh - 260px))' }}
      tabIndex={0}
      role="region"
      aria-label={label}
    >
      <div role="table" aria-label={label} aria-rowcount={shown.length + 1} style={style}>
        <div role="row" className={classes.head} aria-rowindex={1}>
          {columns.map((c) => (
            <div
              key={c.key}
              role="columnheader"
              title={c.hint}
              className={c.numeric ? classes.number : classes.cell}
              aria-sort={by?.key === c.key ? (by.down ? 'descending' : 'ascending') : undefined}
            >
              {c.sort ? (
                <button type="button" className={classes.sorter} onClick={() => sortBy(next(by, c))}>
                  {c.title}
                  <span aria-hidden="true">{by?.key === c.key ? (by.down ? ' ↓' : ' ↑') : ''}</span>
                </button>
              ) : (
                c.title
              )}
            </div>
          ))}
        </div>
        <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
          {virtual.getVirtualItems().map((v) => {
            const row = shown[v.index] as R
            return (
              <Line
                key={rowKey(row)}
                row={row as object}
                columns={columns as Column<object>[]}
                index={v.index}
                start={v.start}
                open={opens ? open : undefined}
              />
            )
          })}
        </div>
        {shown.length === 0 && (
          <Text size="sm" c="dimmed" p="sm">
            No rows match.
          </Text>
        )}
      </div>
    </Box>
  )
}

interface LineProps {
  row: object
  columns: Column<object>[]
  index: number
  start: number
  open: ((row: object) => void) | undefined
}

// A row is drawn anew only if it has changed: while people scroll, all but a few have not.
const Line = memo(function Line({ row, columns, index, start, open }: LineProps) {
  const keys = (e: KeyboardEvent) => {
    if (e.key === 'Enter' && e.target === e.currentTarget) open?.(row)
  }
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={open ? classes.opens : classes.row}
      style={{ top: start }}
      tabIndex={open ? 0 : undefined}
      onClick={open && (() => open(row))}
      onKeyDown={open && keys}
    >
      {columns.map((c) => (
        <div key={c.key} role="cell" className={c.numeric ? classes.number : classes.cell} title={c.tip?.(row)}>
          {c.render(row)}
        </div>
      ))}
    </div>
  )
})

// Numbers are sorted from the largest first, texts from A; a second press turns round.
function next<R>(by: Sorting | undefined, c: Column<R>): Sorting {
  return by?.key === c.key ? { key: c.key, down: !by.down } : { key: c.key, down: c.numeric === true }
}
