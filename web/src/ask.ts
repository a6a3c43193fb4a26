// What a screen asks the gateway for, and keeps up to date while it is looked at.
import { useEffect, useRef, useState } from 'preact/hooks'
import { away, type Failure } from './api/client'
import { ended, whenBack } from './session'

/** Asked is an answer, and what is known of the next one. Old answers stay when the
 * next one fails: with the failure, and the time they are from. */
export interface Asked<T> {
  value: T | undefined
  failure: Failure | null
  since: number // when value came
  again: () => void
}

const soon = 3000 // ms until a gateway is asked again that was not there

/** keepAsking asks now, and every so many milliseconds while the page is seen, or less
 * often where an answer takes long; 0 is only once. What could not be asked is asked again
 * soon, and what the end of the session kept from being answered after the next login. */
export function keepAsking<T>(every: number, ask: (signal: AbortSignal) => Promise<T>, tell: (value: T) => void, fail: (failure: Failure) => void): { again: () => void; stop: () => void } {
  let stop = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  let waiting = () => {}
  const round = async () => {
    const { signal } = stop
    const began = Date.now()
    let wait = every
    try {
      const value = await ask(signal)
      if (signal.aborted) return
      if (every > 0) wait = Math.max(every, Math.min(4 * (Date.now() - began), 30_000))
      tell(value)
    } catch (err) {
      if (signal.aborted) return
      fail(err as Failure)
      if (away(err)) wait = Math.min(every || soon, soon)
      if (ended.value) return standStill()
    }
    if (wait > 0) timer = setTimeout(next, wait)
  }
  const next = () => {
    if (ended.value) return standStill()
    if (!document.hidden) return void round()
    document.addEventListener('visibilitychange', () => { if (!stop.signal.aborted) void round() }, { once: true, signal: stop.signal })
  }
  const standStill = () => {
    waiting = whenBack(next)
  }
  const end = () => {
    stop.abort()
    clearTimeout(timer)
    waiting()
  }
  void round()
  return {
    again: () => {
      end()
      stop = new AbortController()
      void round()
    },
    stop: end,
  }
}

/** useAsked asks when key changes, and as keepAsking does. Answers to an earlier key are
 * dropped; those to one that is the same but for the time that went on, and so alike, stand
 * until the next is there. */
export function useAsked<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, every = 0, like = key): Asked<T> {
  const [state, set] = useState<{ like: string; value?: T; failure: Failure | null; since: number }>({ like, failure: null, since: 0 })
  const latest = useRef(ask)
  const again = useRef(() => {})
  latest.current = ask
  useEffect(() => {
    const asking = keepAsking(every, (signal) => latest.current(signal),
      (value) => set({ like, value, failure: null, since: Date.now() }),
      (failure) => set((old) => ({ ...(old.like === like ? old : { like, since: 0 }), failure })))
    again.current = asking.again
    return asking.stop
  }, [key, every])
  const mine = state.like === like
  return { value: mine ? state.value : undefined, failure: mine ? state.failure : null, since: mine ? state.since : 0, again: () => again.current() }
}
