// What several places on a screen show is asked for once for all of them, while one of
// them is there.
import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { Failure, get } from './api/client'
import type { GetLedgerResponse, ListAlertsResponse, ListTopicsResponse } from './api/types'
import { keepAsking, type Asked } from './ask'
import { remember } from './lag'
import { identity } from './session'

function live<T>(every: number, ask: (signal: AbortSignal) => Promise<T>): () => Asked<T> {
  const nothing = { failure: null, since: 0 }
  const state = signal<{ of?: string; value?: T; failure: Failure | null; since: number }>(nothing)
  let shown = 0
  let asking: { again: () => void; stop: () => void } | null = null
  return () => {
    useEffect(() => {
      if (shown++ === 0) {
        const of = identity.value
        asking = keepAsking(every, ask, (value) => (state.value = { of, value, failure: null, since: Date.now() }),
          (failure) => (state.value = { ...(state.value.of === of ? state.value : { ...nothing, of }), failure }))
      }
      return () => {
        if (--shown > 0) return
        asking?.stop()
        asking = null
      }
    }, [])
    const { value, failure, since }: typeof state.value = state.value.of === identity.value ? state.value : nothing // what another user was told is not for this one
    return { value, failure, since, again: () => asking?.again() }
  }
}

export const useLedger = live(5_000, (s) => get<GetLedgerResponse>('/api/v1/ledger', {}, s))
export const useOpenAlerts = live(10_000, (s) => get<ListAlertsResponse>('/api/v1/alerts', { open_only: true, page_size: 200 }, s))
export const useTopics = live(5_000, async (s) => remember(await get<ListTopicsResponse>('/api/v1/topics', {}, s)))

/** Counted is what was accepted in all, at a moment; a rate is between two. */
interface Counted { at: number; accepted: Record<string, bigint> }

/** useRates are spans and records a second, between the last two polls of the ledger that
 * are some seconds apart. */
export function useRates(): Record<string, number> {
  const ledger = useLedger()
  const seen = useRef<Counted[]>([])
  const accepted = Object.fromEntries((ledger.value?.accounts ?? []).map((a) => [a.signal, BigInt(a.accepted)]))
  if (ledger.value && seen.current.at(-1)?.at !== ledger.since) seen.current = [...seen.current, { at: ledger.since, accepted }].slice(-7)
  const [first, last] = [seen.current[0], seen.current.at(-1)]
  if (!first || !last || last.at - first.at < 2000) return {}
  return Object.fromEntries(Object.entries(last.accepted).map(([signal, n]) => [signal, (Number(n - (first.accepted[signal] ?? n)) * 1000) / (last.at - first.at)]))
}
