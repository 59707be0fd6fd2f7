import { describe, expect, it } from 'vitest'
import type { QueryRow } from '../api/queries.ts'
import { dotAt, layout, neighbour, timeAt, type Box } from './timeline.ts'

const box: Box = { width: 600, height: 170, left: 50, right: 10, top: 10, bottom: 20 }
const t0 = Date.parse('2026-11-22T03:00:00Z')
const row = (id: string, minute: number, duration: number, bytes: number) =>
  ({ id, begun: new Date(t0 + minute * 60_000).toISOString(), duration, bytes, state: 'finished' }) as QueryRow

const rows = [row('a', 0, 0.01, 0), row('b', 10, 0.1, 100), row('c', 20, 10, 400)]
const l = layout(rows, box, undefined, undefined, t0 + 30 * 60_000, 'utc')
const dot = (id: string) => l.dots.find((d) => d.row.id === id)

describe('queries over time', () => {
  it('stand at when they began, higher the longer they took', () => {
    expect(l.from).toBe(t0 - 36_000)
    expect(dot('a')?.x).toBeCloseTo(50 + 540 * (0.6 / 30.6))
    expect(dot('b')?.x).toBeCloseTo(50 + 540 * (10.6 / 30.6))
    const [a, b, c] = ['a', 'b', 'c'].map((id) => dot(id)?.y ?? 0)
    expect(a).toBeCloseTo(150)
    expect((a ?? 0) - (b ?? 0)).toBeCloseTo(((b ?? 0) - (c ?? 0)) / 2)
    expect(c).toBeCloseTo(10)
  })
  it('are sized by their bytes, the largest drawn first', () => {
    expect(l.dots.map((d) => [d.row.id, d.r])).toEqual([
      ['c', 13],
      ['b', 8],
      ['a', 3],
    ])
  })
  it('stay inside, also those that began before', () => {
    const later = layout(rows, box, t0 + 5 * 60_000, t0 + 15 * 60_000, t0, 'utc')
    expect(later.dots.every((d) => d.x >= box.left && d.x <= box.width - box.right)).toBe(true)
  })
  it('have round times below them', () =>
    expect(l.times.map((t) => t.label)).toEqual(['03:00', '03:10', '03:20', '03:30']))
  it('need no queries', () => expect(layout([], box, undefined, undefined, t0, 'utc').dots).toEqual([]))
  it('are found by a pointer', () => {
    const b = dot('b')
    expect(dotAt((b?.x ?? 0) + 10, b?.y ?? 0, l.dots, 8)?.row.id).toBe('b')
    expect(dotAt((b?.x ?? 0) + 40, b?.y ?? 0, l.dots, 8)).toBeUndefined()
  })
  it('are gone through in the order of their times, however these are written', () => {
    const at = (id: string, begun: string) => ({ row: { id, begun } as QueryRow, x: 0, y: 0, r: 1 })
    const dots = [at('late', '2026-11-22T03:00:00.123Z'), at('early', '2026-11-22T03:00:00.12Z')]
    expect(neighbour(dots, 'early', 1)?.id).toBe('late')
  })
  it('are gone through by keys', () => {
    expect(neighbour(l.dots, '', 1)?.id).toBe('c')
    expect(neighbour(l.dots, 'b', 1)?.id).toBe('c')
    expect(neighbour(l.dots, 'a', -1)?.id).toBe('a')
  })
  it('tell the time at a place', () => {
    expect(timeAt(50, l, box)).toBe(l.from)
    expect(timeAt(9999, l, box)).toBe(t0 + 30 * 60_000)
  })
})
