import { describe, expect, it } from 'vitest'
import { leaf, root, zone } from '../leaves/testtree.ts'
import { placesOf } from './layout.ts'
import { itemsOf, moved } from './outline.ts'
import { fit, pan, same, zoomAt } from './viewport.ts'

const places = placesOf(root([zone('eu', [leaf('eu', 'a'), leaf('eu', 'b')]), zone('us', [leaf('us', 'c')])]))
const names = (open: string[], wanted?: (name: string) => boolean) =>
  itemsOf(places, new Set(open), wanted && ((p) => wanted(p.data.name))).map(
    (i) =>
      `${i.level}${i.open === undefined ? '' : i.open ? '-' : '+'} ${i.place.data.name} ${i.position}/${i.siblings}`,
  )

describe('the list', () => {
  it('shows what is open', () => {
    expect(names([])).toEqual(['1+ zone=eu 1/2', '1+ zone=us 2/2'])
    expect(names(['zone=us'])).toEqual(['1+ zone=eu 1/2', '1- zone=us 2/2', '2 zone=us,cluster=c 1/1'])
  })
  it('shows those that are searched for with what is above them', () =>
    expect(names([], (n) => n.endsWith('=b'))).toEqual(['1- zone=eu 1/1', '2 zone=eu,cluster=b 1/1']))

  const items = itemsOf(places, new Set(['zone=eu']))
  it.each([
    [0, 'ArrowDown', { to: 1 }],
    [0, 'ArrowUp', { to: 0 }],
    [0, 'ArrowRight', { to: 1 }],
    [0, 'ArrowLeft', { toggle: 'zone=eu' }],
    [2, 'ArrowLeft', { to: 0 }],
    [3, 'ArrowRight', { toggle: 'zone=us' }],
    [1, 'End', { to: 3 }],
    [1, 'x', undefined],
  ] as const)('line %i, %s', (i, key, to) => expect(moved(items, i, key)).toEqual(to))
})

describe('the view', () => {
  const drawing = { w: 1000, h: 500 }
  const window = { w: 1000, h: 600 }
  it('shows all, and enlarges small drawings but little', () => {
    expect(fit(drawing, window)).toEqual({ k: 1, x: 0, y: 0 })
    expect(fit({ w: 100, h: 50 }, window).k).toBe(1.5)
  })
  it('keeps the point below the pointer where it is', () => {
    const v = zoomAt(fit(drawing, window), 600, 300, 4, drawing, window)
    expect((600 - v.x) / v.k).toBeCloseTo(600)
    expect((300 - v.y) / v.k).toBeCloseTo(300)
  })
  it('never leaves the drawing', () => {
    const v = zoomAt(fit(drawing, window), 500, 300, 3, drawing, window)
    const far = pan(v, 99_999, 99_999, drawing, window)
    expect([far.x, far.y]).toEqual([0, 0])
    expect(same(zoomAt(v, 0, 0, 1e-9, drawing, window), fit(drawing, window))).toBe(true)
  })
})
