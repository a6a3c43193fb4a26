// What a screen shows stands in its address, so that it can be sent to others.
import { useLocation } from 'preact-iso'

/** useQuery gives the parameters of the address, and changes some of them: '' takes one
 * away. A change is a step back for the browser only where it is asked for. */
export function useQuery(): [Record<string, string>, (change: Record<string, string>, step?: boolean) => void] {
  const { query, path, route } = useLocation()
  const set = (change: Record<string, string>, step = false) => {
    const q = new URLSearchParams(location.search) // which is newer than what was drawn, after two changes in a row
    for (const [key, value] of Object.entries(change)) {
      if (value === '') q.delete(key)
      else q.set(key, value)
    }
    const said = q.toString()
    route(said ? `${path}?${said}` : path, !step)
  }
  return [query, set]
}

/** The ranges that one chooses from, in minutes. */
export const ranges = [
  ['15m', 'Last 15 minutes', 15],
  ['1h', 'Last hour', 60],
  ['6h', 'Last 6 hours', 360],
  ['24h', 'Last 24 hours', 1440],
  ['7d', 'Last 7 days', 10080],
  ['30d', 'Last 30 days', 43200],
] as const

/** rangeOf is the time that an address is about, to the minute so that one can keep it. */
export function rangeOf(query: Record<string, string>, usual = '24h'): { start: string; end: string; minutes: number } {
  if (query.start && query.end) {
    return { start: query.start, end: query.end, minutes: (Date.parse(query.end) - Date.parse(query.start)) / 60_000 }
  }
  const minutes = ranges.find(([key]) => key === (query.range ?? usual))?.[2] ?? 1440
  const end = Math.ceil(Date.now() / 60_000) * 60_000
  return { start: new Date(end - minutes * 60_000).toISOString(), end: new Date(end).toISOString(), minutes }
}
