import { describe, expect, it } from 'vitest'
import { simulatedTree } from '../../test/simulated.ts'
import { leaf, root, zone } from '../leaves/testtree.ts'
import { hit, layoutOf, placesOf, shortName, type Box, type Layout } from './layout.ts'

const tree = root([
  zone('us', [leaf('us', 'us-2'), leaf('us', 'us-10')]),
  zone('eu', [
    leaf('eu', 'eu-1', { replica: 'a' }),
    leaf('eu', 'eu-1', { replica: 'b', name: 'zone=eu,cluster=eu-1/replica=b' }),
  ]),
])
const big = simulatedTree({ zones: 40, leaves: 10_000, at: Date.parse('2026-11-22T16:00:00Z') })

const apart = (a: Box, b: Box) => a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y
const inside = (l: Layout) =>
  l.cells.every((c) => {
    const b = l.boxes[c.box] as Box
    return c.x >= b.x && c.y >= b.y + b.head && c.x + l.style.w <= b.x + b.w && c.y + l.style.h <= b.y + b.h
  })

describe('the layout', () => {
  it('draws a small tree as cards with names, all in the window', () => {
    const l = layoutOf(placesOf(tree), 1200, 600)
    expect(l.style.kind).toBe('card')
    expect(l.cells.map((c) => c.id)).toEqual([
      'zone=eu > zone=eu,cluster=eu-1',
      'zone=eu > zone=eu,cluster=eu-1/replica=b',
      'zone=us > zone=us,cluster=us-2',
      'zone=us > zone=us,cluster=us-10',
    ])
    expect(l.w).toBeLessThanOrEqual(1200)
    expect(l.h).toBeLessThanOrEqual(600)
  })

  it.each([
    [1100, 620],
    [3400, 1900],
    [900, 500],
    [340, undefined],
  ])('draws ten thousand leaves of forty unequal zones in %s × %s, nothing over anything', (w, h) => {
    const l = layoutOf(placesOf(big), w, h)
    expect(l.cells).toHaveLength(10_000)
    expect(l.boxes).toHaveLength(40)
    l.boxes.forEach((a, i) => l.boxes.slice(i + 1).forEach((b) => expect(apart(a, b)).toBe(true)))
    expect(inside(l)).toBe(true)
    expect(Math.max(...l.boxes.map((b) => b.x + b.w))).toBeLessThanOrEqual(w)
    expect(new Set(l.cells.map((c) => `${c.x} ${c.y}`)).size).toBe(10_000)
  })

  it('leads a line to each zone, and none through another', () => {
    const l = layoutOf(placesOf(big), 1100, 620)
    const ends = l.segments.filter((s) => s.end)
    expect(ends.map((s) => s.boxes[0]).sort((a = 0, b = 0) => a - b)).toEqual(l.boxes.map((_, i) => i))
    for (const s of l.segments)
      for (const b of l.boxes) {
        const [x1, x2] = [Math.min(s.x1, s.x2), Math.max(s.x1, s.x2)]
        const [y1, y2] = [Math.min(s.y1, s.y2), Math.max(s.y1, s.y2)]
        expect(x1 < b.x + b.w && x2 > b.x && y1 < b.y + b.h && y2 > b.y).toBe(false)
      }
  })

  it('keeps zones of zones within', () => {
    const deep = root([
      zone('eu', [leaf('eu', 'own'), zone('de', [leaf('de', 'a'), leaf('de', 'b')]), zone('fr', [leaf('fr', 'c')])]),
    ])
    const l = layoutOf(placesOf(deep), 900, 500)
    expect(l.boxes.map((b) => [b.id, b.depth])).toEqual([
      ['zone=eu', 0],
      ['zone=eu > zone=de', 1],
      ['zone=eu > zone=fr', 1],
    ])
    const [eu, de, fr] = l.boxes as [Box, Box, Box]
    for (const b of [de, fr])
      expect(b.x > eu.x && b.y > eu.y && b.x + b.w < eu.x + eu.w && b.y + b.h < eu.y + eu.h).toBe(true)
    expect(apart(de, fr)).toBe(true)
    expect(inside(l)).toBe(true)
  })

  it('groups leaves directly below the tier', () => {
    const l = layoutOf(placesOf(root([leaf('eu', 'a'), zone('us', [leaf('us', 'b')])])), 900, 500)
    expect(l.boxes.map((b) => b.id)).toEqual(['', 'zone=us'])
  })

  it('gives room to a zone whose leaves are not known', () => {
    const l = layoutOf(placesOf(root([zone('eu', [], { state: 'missing' })])), 900, 500)
    expect(l.boxes).toHaveLength(1)
    expect(l.boxes[0]?.h).toBeGreaterThan(30)
  })

  it('moves nobody when a leaf comes back changed, and keeps its shape when one is added', () => {
    const a = layoutOf(placesOf(big), 1100, 620)
    const later = simulatedTree({ zones: 40, leaves: 10_000, at: Date.parse('2026-11-22T17:00:00Z') })
    expect(layoutOf(placesOf(later), 1100, 620, a.shape).cells.map((c) => [c.id, c.x, c.y])).toEqual(
      a.cells.map((c) => [c.id, c.x, c.y]),
    )
    const more = simulatedTree({ zones: 40, leaves: 10_001, at: Date.parse('2026-11-22T16:00:00Z') })
    expect(layoutOf(placesOf(more), 1100, 620, a.shape).shape).toEqual(a.shape)
  })

  it('shows a part alone', () => expect(layoutOf(placesOf(tree, 'zone=us'), 900, 500).cells).toHaveLength(2))
})

describe('what is at a point', () => {
  it.each([
    ['cards', tree, 1200, 600],
    ['dots', big, 1100, 620],
  ])('finds each of the %s', (_, t, w, h) => {
    const l = layoutOf(placesOf(t), w, h)
    for (const c of l.cells) {
      const found = hit(l, c.x + l.style.w / 2, c.y + l.style.h / 2)
      expect(found?.kind === 'cell' && found.cell.id).toBe(c.id)
    }
  })
  it('finds zones by their titles, and nothing outside', () => {
    const l = layoutOf(placesOf(tree), 1200, 600)
    const b = l.boxes[1] as Box
    const found = hit(l, b.x + 20, b.y + 5)
    expect(found?.kind === 'box' && found.box.id).toBe(b.id)
    expect(hit(l, b.x - 3, b.y - 3)).toBeUndefined()
  })
})

describe('short names', () => {
  it('leave out what the zone says, and tell replicas apart', () => {
    const l = layoutOf(placesOf(tree), 1200, 600)
    expect(l.cells.map((c) => shortName(c.place))).toEqual(['eu-1 a', 'eu-1 b', 'us-2', 'us-10'])
  })
})
