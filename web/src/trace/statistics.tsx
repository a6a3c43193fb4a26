import { useMemo } from 'preact/hooks'
import { Export } from '../ui/export'
import { Status } from '../ui/parts'
import { Typed } from '../typed'
import { useQuery } from '../url'
import { count, took } from '../words'
import { text, type Row, type Trace } from './model'

interface Group { key: string; n: number; failed: number; self: number; total: number; longest: number }

const fixed = ['operation', 'service', 'kind'] as const
const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']
const mostShown = 500

/** keysOf are the keys of all attributes of a trace: of spans, and of resources. */
function keysOf(trace: Trace): string[] {
  const keys = new Set<string>()
  const seen = new Set<Row['resource']>()
  for (const row of trace.rows) {
    for (const a of row.span?.attributes ?? []) keys.add(a.key)
    if (seen.has(row.resource)) continue
    seen.add(row.resource)
    for (const a of row.resource) keys.add(`resource ${a.key}`)
  }
  return [...keys].sort()
}

const of = (row: Row, by: string): string => {
  if (by === 'operation') return `${row.service} ${row.name}`
  if (by === 'service') return row.service
  if (by === 'kind') return kinds[row.span?.kind ?? 0] ?? ''
  const [list, key] = by.startsWith('resource ') ? [row.resource, by.slice(9)] : [row.span?.attributes ?? [], by]
  const found = list.find((a) => a.key === key)
  return found ? text(found.value) || '(empty)' : '(without)'
}

/** grouped are the spans of a trace by what one of their attributes says; their numbers add
 * up to those of the trace. */
export function grouped(trace: Trace, by: string): { groups: Group[]; all: Group } {
  const groups = new Map<string, Group>()
  const all: Group = { key: '', n: 0, failed: 0, self: 0, total: 0, longest: 0 }
  for (const row of trace.rows) {
    if (!row.span) continue
    const key = of(row, by)
    let g = groups.get(key)
    if (!g) groups.set(key, (g = { key, n: 0, failed: 0, self: 0, total: 0, longest: 0 }))
    for (const into of [g, all]) {
      into.n++
      into.failed += row.failed ? 1 : 0
      into.self += row.self
      into.total += row.duration
      into.longest = Math.max(into.longest, row.duration)
    }
  }
  return { groups: [...groups.values()].sort((a, b) => b.self - a.self), all }
}

export function Statistics({ trace }: { trace: Trace }) {
  const [query, set] = useQuery()
  const keys = useMemo(() => keysOf(trace), [trace])
  const by = query.by ?? 'operation'
  const known = fixed.some((k) => k === by) || keys.includes(by)
  const { groups, all } = useMemo(() => grouped(trace, by), [trace, by])
  const cells = (g: Group) => <><td class="right">{count(g.n)}</td><td class="right">{g.failed > 0 ? <Status kind="error">{count(g.failed)}</Status> : 0}</td><td class="right">{took(g.self)}</td><td class="right wide">{took(g.total)}</td><td class="right wide">{took(g.total / Math.max(1, g.n))}</td><td class="right">{took(g.longest)}</td></>
  return (
    <div class="statistics">
      <div class="tools">
        <label class="inline">By <Typed list="keys" value={by} autocomplete="off" onChange={(e) => { const v = e.currentTarget.value.trim(); set({ by: v === 'operation' ? '' : v }) }} /></label>
        <datalist id="keys">{[...fixed, ...keys].map((k) => <option key={k} value={k} />)}</datalist>
        {fixed.map((k) => <button key={k} class="button small" type="button" aria-pressed={k === by} onClick={() => set({ by: k === 'operation' ? '' : k })}>{k}</button>)}
        <span class="space" />
        <Export name={`statistics by ${by}`} of={null} rows={() => [[by, 'spans', 'errors', 'self ms', 'total ms', 'longest ms'], ...groups.map((g) => [g.key, g.n, g.failed, g.self, g.total, g.longest])]} />
      </div>
      {!known && <p class="note" role="status">No span of this trace has the attribute {by}.</p>}
      <table class="dense">
        <thead><tr><th>{by}</th><th class="right">Spans</th><th class="right">Errors</th><th class="right">Self time</th><th class="right wide">Total</th><th class="right wide">Mean</th><th class="right">Longest</th></tr></thead>
        <tbody>{groups.slice(0, mostShown).map((g) => <tr key={g.key}><td class="name" title={g.key}>{g.key}</td>{cells(g)}</tr>)}</tbody>
        <tfoot><tr><th scope="row">All of {count(groups.length)}</th>{cells(all)}</tr></tfoot>
      </table>
      {groups.length > mostShown && <p class="note">{count(groups.length - mostShown)} more are not shown; the file has them.</p>}
    </div>
  )
}
