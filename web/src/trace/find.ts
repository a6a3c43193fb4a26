import { useEffect, useState } from 'preact/hooks'
import { text, type Row, type Trace } from './model'

const slice = 4000 // rows looked at before the page may do something else

/** holds tells whether a text stands in what a row is called or in what its attributes,
 * events and status say. */
export function holds(row: Row, what: string): boolean {
  const has = (s: string | undefined) => !!s && s.toLowerCase().includes(what)
  if (has(row.name) || has(row.service)) return true
  const span = row.span
  if (!span) return false
  if (has(span.spanId) || has(span.status?.message)) return true
  for (const a of span.attributes ?? []) if (has(a.key) || has(text(a.value))) return true
  for (const e of span.events ?? []) if (has(e.name) || (e.attributes ?? []).some((a) => has(text(a.value)))) return true
  return row.resource.some((a) => has(text(a.value)))
}

export interface Found { rows: Row[]; marked: Set<Row> }

/** useFound looks for a text in a trace, some rows at a time; null while it looks, and
 * where there is nothing to look for. */
export function useFound(trace: Trace, what: string): Found | null {
  const [found, set] = useState<{ of: Trace; what: string; found: Found } | null>(null)
  useEffect(() => {
    const wanted = what.trim().toLowerCase()
    if (!wanted) return
    let next: ReturnType<typeof setTimeout> | undefined
    const rows: Row[] = []
    const look = (from: number) => {
      for (const row of trace.rows.slice(from, from + slice)) if (holds(row, wanted)) rows.push(row)
      if (from + slice < trace.rows.length) next = setTimeout(look, 0, from + slice)
      else set({ of: trace, what, found: { rows, marked: new Set(rows) } })
    }
    next = setTimeout(look, 120, 0) // who is typing still is not done
    return () => clearTimeout(next)
  }, [trace, what])
  return what.trim() && found?.of === trace && found.what === what ? found.found : null
}
