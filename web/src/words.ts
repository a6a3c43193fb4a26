// Numbers and times in words.
import { signal } from '@preact/signals'

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const digits = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 })

/** count groups the digits of a whole number, of 64 bits too. */
export const count = (n: number | string | undefined): string => grouped.format(typeof n === 'string' ? BigInt(n) : (n ?? 0))

/** number has four digits. */
export function number(v: number | undefined): string {
  if (v === undefined) return '–'
  if (!Number.isFinite(v)) return String(v)
  const size = Math.abs(v)
  return size !== 0 && (size < 1e-4 || size >= 1e7) ? v.toExponential(3) : digits.format(v)
}

export const percent = (share: number, places = 1): string => `${(share * 100).toFixed(places)} %`

export const plural = (n: number | string, one: string, many = one + 's'): string => `${count(n)} ${Number(n) === 1 ? one : many}`

/** millis reads a duration of the API, such as "1.5s". */
export const millis = (d: string | null | undefined): number => (d ? Number.parseFloat(d) * 1000 : 0)

/** took is a duration in milliseconds as one says it. */
export function took(ms: number): string {
  if (Number.isNaN(ms)) return '–'
  if (ms < 0) return `−${took(-ms)}`
  if (ms < 0.001) return ms === 0 ? '0' : `${(ms * 1e6).toFixed(0)} ns`
  if (ms < 1) return `${digits3(ms * 1000)} µs`
  if (ms < 1000) return `${digits3(ms)} ms`
  if (ms < 60_000) return `${digits3(ms / 1000)} s`
  const seconds = Math.round(ms / 1000) // before it is cut, so that no minute has 60
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  const minutes = Math.round(ms / 60_000)
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
  return `${count(Math.round(ms / 86_400_000))} days`
}
const digits3 = (v: number): string => (v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2)).replace(/\.0+$/, '')

/** utc is whether times are in UTC. */
export const utc = signal(localStorage.getItem('utc') === 'true')
utc.subscribe((on) => localStorage.setItem('utc', String(on)))

/** since is whether moments are told by how long ago they are. */
export const since = signal(localStorage.getItem('since') === 'true')
since.subscribe((on) => localStorage.setItem('since', String(on)))

const formats = new Map<string, Intl.DateTimeFormat>()
function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const all = { ...options, hourCycle: 'h23' as const, ...(utc.value ? { timeZone: 'UTC' } : {}) }
  const key = JSON.stringify(all)
  let f = formats.get(key)
  if (!f) formats.set(key, (f = new Intl.DateTimeFormat('en-GB', all)))
  return f
}

/** at is a moment: the day too, where it is not today; or how long ago it is. */
export function at(time: string | number | null | undefined): string {
  if (time === null || time === undefined || time === '') return '–'
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return '–'
  if (since.value) {
    const ms = Math.round((Date.now() - date.getTime()) / 1000) * 1000
    return ms < 0 ? `in ${took(-ms)}` : `${took(ms)} ago`
  }
  const day = format({ day: 'numeric', month: 'short' })
  const clock = format({ hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(date)
  const now = new Date()
  if (day.format(date) === day.format(now) && date.getFullYear() === now.getFullYear()) return clock
  return `${date.getFullYear() === now.getFullYear() ? day.format(date) : format({ day: 'numeric', month: 'short', year: 'numeric' }).format(date)} ${clock}`
}

/** exactly is a moment to the millisecond. */
export const exactly = (time: number): string => `${format({ day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 }).format(time)}${utc.value ? ' UTC' : ''}`

/** ago is how long it is since a moment. */
export const ago = (time: string | null | undefined): string => (time ? took(Math.max(0, Date.now() - Date.parse(time))) : '–')
