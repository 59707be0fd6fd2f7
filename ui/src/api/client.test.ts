import { afterEach, describe, expect, it, vi } from 'vitest'
import { ApiError, askPlain } from './client.ts'

/** A tier that takes connections and never answers. */
const hung = (_: string, init: RequestInit) =>
  new Promise<Response>((_, fail) => init.signal?.addEventListener('abort', () => fail(init.signal?.reason as Error)))

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('a request', () => {
  it('that has a bound ends when a tier hangs, and says so', async () => {
    vi.useFakeTimers()
    vi.stubGlobal('fetch', hung)
    const failed = askPlain('/x', {}, { timeout: 15_000 }).catch((e: unknown) => e)
    await vi.advanceTimersByTimeAsync(15_001)
    const e = (await failed) as ApiError
    expect(e).toBeInstanceOf(ApiError)
    expect(e).toMatchObject({ status: 0, type: 'silent', message: expect.stringContaining('15 s') as string })
  })

  it('that is no longer wanted ends as such, bounded or not', async () => {
    vi.stubGlobal('fetch', hung)
    const stop = new AbortController()
    const two = [{ signal: stop.signal }, { signal: stop.signal, timeout: 15_000 }].map((o) =>
      askPlain('/x', {}, o).catch((e: unknown) => e),
    )
    stop.abort(new Error('left'))
    for (const e of await Promise.all(two)) expect(e).toMatchObject({ message: 'left' })
  })
})
