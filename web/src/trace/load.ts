import { useEffect } from 'preact/hooks'
import { send, whole } from '../api/client'
import { useAsked, type Asked } from '../ask'
import { read, type OTLPTrace, type Trace } from './model'

export interface Loaded { data: OTLPTrace; trace: Trace; cut: boolean }

/** useTrace asks for a trace; one that is on its way still is asked for again. */
export function useTrace(id: string): Asked<Loaded> {
  const trace = useAsked(id, async (signal) => {
    const answer = await send('GET', `/api/v1/traces/${encodeURIComponent(id)}`, undefined, signal)
    const data = (await whole(answer)) as OTLPTrace
    return { data, trace: read(data), cut: answer.headers.has('driftmesh-truncated') }
  })
  useEffect(() => {
    if (trace.failure?.status !== 404) return
    const timer = setTimeout(trace.again, 2000)
    return () => clearTimeout(timer)
  }, [trace.failure])
  return trace
}
