// When services began to run another version, as far as their spans tell.
import { post } from './api/client'
import type { CountSpansResponse, ListAttributesResponse } from './api/types'
import { useAsked } from './ask'
import { may } from './session'
import { nanosIn } from './traces/query'
import { at } from './words'

/** Deploy is the first that was seen of a version in a time. */
export interface Deploy { at: number; version: string; services: string[] }

const most = 6 // versions that are looked for, those with most spans
const parts = 120 // of a time, so finely they are told

/** deploys finds them with one question where there is one version, as there mostly is,
 * and else with one more for each. What there was first is no change. */
async function deploys(start: number, end: number, service: string, signal: AbortSignal): Promise<Deploy[]> {
  const query = { service, start_time: new Date(start).toISOString(), end_time: new Date(end).toISOString() }
  const { attributes } = await post<ListAttributesResponse>('/api/v1/attributes:list', { query, key: 'service.version', values: most }, signal)
  const versions = attributes[0]?.values ?? []
  if (versions.length < 2) return []
  const seen = await Promise.all(versions.map(async ({ value }) => {
    const of = await post<CountSpansResponse>('/api/v1/spans:count', { query: { ...query, attributes: { 'service.version': value } }, time_buckets: parts, duration_buckets: 4, top: 3 }, signal)
    const buckets = of.rows.map((r) => r.spans.findIndex((n) => n > 0)).filter((i) => i >= 0)
    return { at: start + (Math.min(...buckets) * nanosIn(of.step)) / 1e6, version: value, services: of.services.map((s) => s.name) }
  }))
  const first = Math.min(...seen.map((d) => d.at))
  return seen.filter((d) => d.at > first && d.at < end).sort((a, b) => a.at - b.at)
}

/** useDeploys are those of a time, of one service or of all, for who may see spans; none
 * while they are not known. Of all, what few spans have may be missing: the store looks at
 * some. They are asked for again only when the time has gone on by one of its parts. */
export function useDeploys(start: number, end: number, service = ''): Deploy[] {
  const part = Math.max((end - start) / parts, 1)
  const [from, until] = [Math.floor(start / part) * part, Math.ceil(end / part) * part]
  const asked = useAsked(`deploys ${from} ${until} ${service}`, async (signal) => (may('traces.read') ? deploys(from, until, service, signal) : []), 0, `deploys ${end - start} ${service}`)
  return (asked.value ?? []).filter((d) => d.at >= start && d.at <= end)
}

/** told is one in words. */
export const told = (d: Deploy): string => `${d.services.join(', ')} ${d.version}, first seen ${at(d.at)}`
