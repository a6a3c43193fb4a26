// What a screen shows stands in its address, so that it can be sent to others.
import { useLocation } from 'preact-iso'

/** went is whether the address is what it is because somebody went back or forth. */
export const went = { back: false }
addEventListener('popstate', () => { went.back = true }) // as the first of all, which draw the page

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
    went.back = false
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

const years = [Date.parse('0001-01-02T00:00:00Z'), Date.parse('9999-12-30T00:00:00Z')] as const // that the API knows

/** known reports whether the API knows a moment. */
export const known = (t: number): boolean => t >= years[0] && t <= years[1]

/** own is the time that an address names by its start and end, null for what is none. */
export function own(query: Record<string, string>): { start: number; end: number } | null {
  const [start, end] = [Date.parse(query.start ?? ''), Date.parse(query.end ?? '')]
  return known(start) && known(end) && end > start ? { start, end } : null
}

/** rangeKey is which of the ranges an address is about. */
export const rangeKey = (query: Record<string, string>, usual = '24h'): string => ranges.find(([key]) => key === query.range)?.[0] ?? usual

/** rangeOf is the time that an address is about, to the minute so that one can keep it. What
 * ends now goes on; its name does not. */
export function rangeOf(query: Record<string, string>, usual = '24h'): { start: string; end: string; minutes: number; name: string } {
  const said = own(query)
  if (said) return { start: new Date(said.start).toISOString(), end: new Date(said.end).toISOString(), minutes: (said.end - said.start) / 60_000, name: `${said.start} ${said.end}` }
  const minutes = ranges.find(([key]) => key === rangeKey(query, usual))?.[2] ?? 1440
  const end = Math.ceil(Date.now() / 60_000) * 60_000
  return { start: new Date(end - minutes * 60_000).toISOString(), end: new Date(end).toISOString(), minutes, name: rangeKey(query, usual) }
}
