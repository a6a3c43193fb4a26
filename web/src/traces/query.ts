// What a search for traces asks, as it stands in the address and as the API has it.
import type { TraceQuery } from '../api/types'
import { rangeOf } from '../url'

export type Query = Record<string, string>
export type Change = (change: Query, step?: boolean) => void

const quoted = '"((?:[^"\\\\]|\\\\.)*)"'
// Where a word begins, and nowhere in it: a long one would be read once for each of its letters.
const pairs = new RegExp(`(?<=^|[\\s"=])(?:${quoted}|([^\\s="]+))=(?:${quoted}|(\\S*))`, 'g')
const escapes: Query = { n: '\n', t: '\t', r: '\r' }
const plain = (text: string): string => text.replace(/\\(.)/g, (_, c: string) => escapes[c] ?? c)

/** tagsOf reads key=value pairs, with quotes around what has blanks in it. */
export function tagsOf(text: string): Query {
  const found: Query = Object.create(null) as Query
  for (const [, key, bareKey, value, bareValue] of text.matchAll(pairs)) {
    found[key !== undefined ? plain(key) : (bareKey ?? '')] = value !== undefined ? plain(value) : (bareValue ?? '')
  }
  return found
}

/** word writes a key or a value so that tagsOf reads it. */
export const word = (text: string): string =>
  /^[^\s="\\]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r')}"`

/** textOf writes tags as tagsOf reads them. */
export const textOf = (tags: Query): string => Object.entries(tags).map(([key, value]) => `${word(key)}=${word(value)}`).join(' ')

const units: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9 }

/** nanosOf reads "200ms", "1.5s", "2m", or a bare number of milliseconds; undefined for
 * what is none. */
export function nanosOf(text: string): number | undefined {
  const [, digits, unit] = text.trim().match(/^(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m)?$/) ?? []
  return digits === undefined ? undefined : Math.round(Number(digits) * (units[unit ?? 'ms'] ?? 1e6))
}

/** durationOf is the same as the API has it. */
export function durationOf(text: string): string | undefined {
  const nanos = nanosOf(text)
  return nanos === undefined ? undefined : seconds(nanos)
}

const seconds = (nanos: number): string => `${(nanos / 1e9).toFixed(9).replace(/\.?0+$/, '')}s`

/** nanosIn reads a duration of the API. */
export const nanosIn = (d: string | null): number => Math.round(Number.parseFloat(d ?? '0') * 1e9)

/** short writes nanoseconds so that nanosOf reads them. */
export function short(nanos: number): string {
  const unit = (['s', 'ms', 'us'] as const).find((u) => nanos >= (units[u] ?? 1)) ?? 'ns'
  return `${Number((nanos / (units[unit] ?? 1)).toPrecision(12))}${unit}`
}

/** Brush is a part of the map of durations by time: from and before which moment, from
 * and below which duration in nanoseconds, the latter 0 for no end. */
export interface Brush { start: number; end: number; from: number; to: number }

/** brushOf reads a brush of the address. */
export function brushOf(text: string | undefined): Brush | null {
  const [start, end, from, to] = (text ?? '').split('~')
  const brush = { start: Date.parse(start ?? ''), end: Date.parse(end ?? ''), from: nanosOf(from || '0') ?? 0, to: nanosOf(to || '0') ?? 0 }
  return brush.end > brush.start ? brush : null
}

export const brushText = (b: Brush): string => [new Date(b.start).toISOString(), new Date(b.end).toISOString(), b.from ? short(b.from) : '', b.to ? short(b.to) : ''].join('~')

/** questionOf is what of an address is asked of the store: not how the answer is shown. */
export function questionOf(query: Query): string {
  const { order: _, pick: __, ...asked } = query
  return JSON.stringify(asked)
}

/** pickedOf are the ids of the traces that were picked, at most two; one more takes the
 * place of the first, and one that was picked is so no longer. */
export function pickedOf(text: string | undefined, flip?: string): string[] {
  const ids = [...new Set((text ?? '').split('~').filter((id) => /^[0-9a-f]{16,32}$/.test(id)))]
  return (flip === undefined ? ids : ids.includes(flip) ? ids.filter((id) => id !== flip) : [...ids, flip]).slice(-2)
}

type Asked = Omit<Partial<TraceQuery>, 'min_duration' | 'max_duration'> & { start_time: string; end_time: string; min_duration?: string; max_duration?: string }

/** askedFor is the question without the brush. */
export function askedFor(query: Query): Asked {
  const { start, end } = rangeOf(query, '1h')
  const attributes = tagsOf(query.tags ?? '')
  if (query.errors) attributes.error = query.errors === '1' ? 'true' : 'false'
  return {
    service: query.service ?? '', operation: query.operation ?? '', attributes, start_time: start, end_time: end,
    ...(query.min ? { min_duration: durationOf(query.min) ?? '0s' } : {}), ...(query.max ? { max_duration: durationOf(query.max) ?? '0s' } : {}),
  }
}

/** within narrows a question to a brush. */
export function within(asked: Asked, brush: Brush | null): Asked {
  if (!brush) return asked
  const from = Math.max(brush.from, asked.min_duration ? nanosIn(asked.min_duration) : 0)
  const to = Math.min(brush.to ? brush.to - 1 : Infinity, asked.max_duration ? nanosIn(asked.max_duration) : Infinity)
  return {
    ...asked, start_time: new Date(brush.start).toISOString(), end_time: new Date(brush.end).toISOString(),
    ...(from > 0 ? { min_duration: seconds(from) } : {}), ...(to < Infinity ? { max_duration: seconds(Math.max(to, 1)) } : {}),
  }
}

/** zoomed is the change of the address that makes the question that of the brush. */
export const zoomed = (b: Brush, query: Query): Query => {
  const asked = within(askedFor(query), b)
  return {
    brush: '', range: '', start: asked.start_time, end: asked.end_time,
    min: asked.min_duration ? short(nanosIn(asked.min_duration)) : '', max: asked.max_duration ? short(nanosIn(asked.max_duration)) : '',
  }
}
