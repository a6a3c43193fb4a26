// What a screen asks the gateway for, and keeps up to date while it is looked at.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Failure } from './api/client'

/** Asked is an answer, and what is known of the next one. Old answers stay when the
 * next one fails: with the failure, and the time they are from. */
export interface Asked<T> {
  value: T | undefined
  failure: Failure | null
  since: number // when value came
  again: () => void
}

/** useAsked asks when key changes, and every so many milliseconds while the page is
 * seen; 0 is only once. Answers to an earlier key are dropped. */
export function useAsked<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, every = 0): Asked<T> {
  const [state, set] = useState<{ key: string; value?: T; failure: Failure | null; since: number }>({ key, failure: null, since: 0 })
  const [turn, again] = useState(0)
  const latest = useRef(ask)
  latest.current = ask
  useEffect(() => {
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const round = async () => {
      if (!document.hidden) {
        try {
          const value = await latest.current(stop.signal)
          if (stop.signal.aborted) return
          set({ key, value, failure: null, since: Date.now() })
        } catch (err) {
          if (stop.signal.aborted) return
          set((old) => ({ ...(old.key === key ? old : { key, since: 0 }), failure: err as Failure }))
        }
      }
      if (every > 0) timer = setTimeout(round, every)
    }
    void round()
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [key, every, turn])
  const mine = state.key === key
  return { value: mine ? state.value : undefined, failure: mine ? state.failure : null, since: mine ? state.since : 0, again: () => again((n) => n + 1) }
}
