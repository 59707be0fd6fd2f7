import { describe, expect, it } from 'vitest'
import type { PathStep } from '../api/explain.ts'
import { bars, verdictOf } from './path.ts'

const path: PathStep[] = [
  { name: 'root', tier: 'root', totalNs: 100, queuedNs: 10, wireNs: 0, selfNs: 10 },
  { name: 'eu', tier: 'zone', totalNs: 80, queuedNs: 0, wireNs: 30, selfNs: 10 },
  { name: 'eu-1', tier: 'leaf', totalNs: 40, queuedNs: 0, wireNs: 0, selfNs: 40 },
]

describe('the critical path', () => {
  it('begins each bar where what is below begins in the one above', () => {
    const b = bars(path)
    expect(b.map((l) => l.segments.map((s) => [s.kind, Math.round(s.from * 100), Math.round(s.share * 100)]))).toEqual([
      [
        ['queued', 0, 10],
        ['self', 10, 10],
        ['below', 20, 80],
      ],
      [
        ['wire', 20, 30],
        ['self', 50, 10],
        ['below', 60, 40],
      ],
      [['self', 60, 40]],
    ])
  })
  it('ends where the whole ends', () => {
    const last = bars(path).at(-1)?.segments.at(-1)
    expect((last?.from ?? 0) + (last?.share ?? 0)).toBeCloseTo(1)
  })
  it('names the largest part', () =>
    expect(verdictOf(path)).toMatchObject({ kind: 'self', share: 0.4, step: { name: 'eu-1' } }))
  it('is nothing of a plan', () => {
    expect(bars([])).toEqual([])
    expect(verdictOf([])).toBeUndefined()
  })
})
