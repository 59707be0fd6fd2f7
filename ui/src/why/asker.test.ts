import { afterEach, describe, expect, it, vi } from 'vitest'
import { asker } from './asker.ts'
import type { Selector } from './selectors.ts'

afterEach(() => vi.unstubAllGlobals())

describe('what is asked about a selector', () => {
  it('tells who did not answer, of values, labels and series too', async () => {
    const body = {
      status: 'success',
      data: [],
      warnings: ['partial answer: leaf "eu-3" did not answer: timeout', 'results truncated due to limit'],
    }
    vi.stubGlobal('fetch', () => Promise.resolve(new Response(JSON.stringify(body))))
    const s: Selector = { text: 'x', matchers: [], window: 300_000, offset: 0 }
    const ask = asker(1e9, {}, new AbortController().signal)
    expect(await ask.values('job', '', s)).toEqual({ names: [], missing: ['leaf eu-3'] })
    expect(await ask.labels('', s)).toEqual({ names: [], missing: ['leaf eu-3'] })
    expect(await ask.any('{job="x"}', s, 0)).toEqual({ found: false, missing: ['leaf eu-3'] })
  })
})
