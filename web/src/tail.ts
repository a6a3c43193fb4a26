// The live tail as server-sent events, read by fetch: so that what is refused says why,
// and a session that ran out is renewed, as with every other question.
import { Failure, send, withQuery } from './api/client'
import type { Record as Sent } from './api/types'
import { text, type OTLPTrace } from './trace/model'

/** Seen is a span or a record as it arrived; or, of the kind "gap", that nobody watched
 * from a moment to another. */
export interface Seen {
  n: number
  at: number
  what: string // the span's kind, or the record's body
  from: string // service, or profile
  name: string // of the span, or the record's id
  took: number | null // milliseconds
  failed: boolean
  trace: string
  span: string
}

export interface Told { seen: Seen[]; missed: number }

export interface Question { signal: 'SIGNAL_SPANS' | 'SIGNAL_RECORDS'; service?: string; span_name?: string; profile?: string }

const silence = 25_000 // ms without a beat, of which one comes every 10 s, that mean that nothing will come

/** gap says that what came between two moments was not seen. */
export const gap = (from: number, to: number): Seen => ({ n: n++, at: to, what: 'gap', from: String(from), name: '', took: null, failed: false, trace: '', span: '' })

/** follow tells what arrives until it is stopped; a Failure is why it ended before. */
export async function follow(question: Question, signal: AbortSignal, tell: (told: Told) => void, opened: () => void): Promise<never> {
  const mute = new AbortController() // a way that broke without a word is silent, and no more
  let alarm = setTimeout(() => mute.abort(), silence)
  try {
    const answer = await send('GET', withQuery('/api/v1/tail/events', { ...question }), undefined, AbortSignal.any([signal, mute.signal]))
    opened()
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
    if (!reader) throw new Failure(0, 'The browser gives no stream.')
    for (let rest = ''; ;) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }))
      if (signal.aborted) throw new DOMException('stopped', 'AbortError')
      if (done) throw new Failure(0, mute.signal.aborted ? 'The gateway has gone silent.' : 'The gateway went away.')
      clearTimeout(alarm)
      alarm = setTimeout(() => mute.abort(), silence)
      const parts = (rest + value).split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) event(part, tell)
    }
  } catch (err) {
    if (mute.signal.aborted && !signal.aborted) throw new Failure(0, 'The gateway has gone silent.')
    throw err
  } finally {
    clearTimeout(alarm)
  }
}

function event(part: string, tell: (told: Told) => void): void {
  const name = part.match(/^event: (\S+)/m)?.[1]
  const data = JSON.parse(part.match(/^data: (.*)$/m)?.[1] ?? 'null') as { missed: number; traces?: OTLPTrace; record?: Partial<Sent>; message?: string; code?: string; reason?: string } | null
  if (!data) return
  if (name === 'end') throw new Failure(data.code === 'UNAUTHENTICATED' ? 401 : 0, data.message ?? 'The view has ended.', data.code, data.reason)
  tell({ seen: data.traces ? spans(data.traces) : data.record ? [record(data.record)] : [], missed: data.missed })
}

const kinds = ['span', 'internal', 'server', 'client', 'producer', 'consumer']
let n = 0

function spans(traces: OTLPTrace): Seen[] {
  const out: Seen[] = []
  for (const r of traces.resourceSpans ?? []) {
    const from = text(r.resource?.attributes?.find((a) => a.key === 'service.name')?.value) || 'missing-service-name'
    for (const s of r.scopeSpans ?? []) {
      for (const span of s.spans ?? []) {
        out.push({
          n: n++, at: Date.now(), what: kinds[span.kind ?? 0] ?? 'span', from, name: span.name ?? '',
          took: Number(BigInt(span.endTimeUnixNano ?? 0) - BigInt(span.startTimeUnixNano ?? 0)) / 1e6,
          failed: span.status?.code === 2, trace: span.traceId, span: span.spanId,
        })
      }
    }
  }
  return out
}

function record(r: Partial<Sent>): Seen {
  const [, trace = '', span = ''] = r.traceparent?.match(/^00-([0-9a-f]{32})-([0-9a-f]{16})-/) ?? []
  const what = (['features', 'metrics', 'context', 'counted', 'labels'] as const).find((k) => r[k]) ?? 'record'
  return { n: n++, at: Date.now(), what, from: r.profile ?? '', name: r.id ?? '', took: null, failed: false, trace, span }
}
