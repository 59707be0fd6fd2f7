import { useCallback, useEffect, useRef, useState } from 'react'
import type { Answer } from '../api/client.ts'
import { cancel as cancelQuery, send, type Asked } from './request.ts'
import type { Result } from './results.ts'

/** A query under way or ended. While another runs, the answer before it stays. */
export interface Run {
  status: 'idle' | 'running' | 'done' | 'failed' | 'canceled'
  /** What is asked now, or was last. */
  asked?: Asked
  /** The latest answer, and what it answers. */
  answer?: Answer<Result>
  answers?: Asked
  error?: unknown
  /** When what is asked was begun, in milliseconds of performance.now. */
  begun: number
}

/**
 * Asks what make returns, anew whenever key changes; '' asks nothing. What is
 * under way then is ended, here and at the server, and its answer is not shown.
 */
export function useRun(key: string, make: () => Promise<Asked>): Run & { cancel: () => void } {
  const [run, setRun] = useState<Run>({ status: 'idle', begun: 0 })
  const latest = useRef(make)
  latest.current = make
  const end = useRef<(() => void) | undefined>(undefined)
  useEffect(() => {
    if (key === '') {
      setRun({ status: 'idle', begun: 0 })
      return
    }
    const abort = new AbortController()
    let asked: Asked | undefined
    let ended = false
    // The connection is given up first: a browser has few, and the request to cancel needs one.
    const stop = () => {
      if (ended) return
      ended = true
      abort.abort()
      if (asked) void cancelQuery(asked.id)
    }
    end.current = stop
    const begun = performance.now()
    setRun((r) => ({ ...r, status: 'running', error: undefined, begun }))
    const go = async () => {
      asked = await latest.current()
      const mine = asked
      if (ended) return
      setRun(
        (r) =>
          ({
            ...r,
            asked: mine,
            ...(r.answers && r.answers.path !== mine.path ? { answer: undefined, answers: undefined } : {}),
          }) as Run,
      )
      const answer = await send(mine, abort.signal)
      if (ended) return
      ended = true
      setRun({ status: 'done', asked: mine, answer, answers: mine, begun })
    }
    go().catch((error: unknown) => {
      if (ended) return
      ended = true
      setRun({ status: 'failed', error, begun, ...(asked && { asked }) })
    })
    return stop
  }, [key])
  const cancel = useCallback(() => {
    end.current?.()
    setRun((r) => (r.status === 'running' ? { ...r, status: 'canceled' } : r))
  }, [])
  return { ...run, cancel }
}
