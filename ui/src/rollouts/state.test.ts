import { describe, expect, it } from 'vitest'
import type { Wave } from '../api/rollouts.ts'
import { arrived, baking, clusterText, gateText, levelOf, placesText } from './state.ts'

describe('rollouts', () => {
  it('do not take a state for good that they do not know', () => expect(levelOf('something new')).toBe('warn'))
  it('say that a gate without an answer lets nothing advance', () =>
    expect(gateText({ name: 'g', expr: 'up', verdict: 'unknown' }).text).toContain('nothing advances'))
  it('count how long a wave bakes', () => {
    const wave: Wave = {
      name: 'a',
      state: 'baking',
      bakeSeconds: 60,
      bake: { revision: 'x', since: '2026-01-01T00:00:00Z', until: '2026-01-01T00:01:00Z' },
    }
    expect(baking(wave, Date.parse('2026-01-01T00:00:45Z'))).toEqual({ left: 15, share: 0.75 })
    expect(baking(wave, Date.parse('2026-01-01T00:02:00Z'))).toEqual({ left: 0, share: 1 })
    expect(baking({ name: 'a', state: 'waiting' }, 0)).toBeUndefined()
  })
  it('call the places of a change what they are', () => {
    const places = ['a', 'b', 'c', 'd', 'e']
    expect(placesText({ tier: 'zone', places })).toBe('5 zones')
    expect(placesText({ tier: 'leaf', places })).toBe('5 clusters')
    expect(placesText({ tier: 'zone', places: ['a', 'b'] })).toBe('a, b')
  })
  it('count who has arrived', () =>
    expect(
      arrived(
        {
          name: 'a',
          state: '',
          clusters: [
            { cluster: 'x', loop: 'answers', running: 'r' },
            { cluster: 'y', loop: 'answers' },
          ],
        },
        'r',
      ),
    ).toBe(1))
  it('do not hide a loop that is silent', () =>
    expect(clusterText({ cluster: 'x', loop: 'silent', state: 'idle', error: 'refused' })).toEqual({
      level: 'bad',
      text: 'its control loop does not answer: refused',
    }))
})
