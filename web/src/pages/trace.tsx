import { useMemo, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { useKeys } from '../keys'
import { Detail } from '../trace/detail'
import { useFound } from '../trace/find'
import { useTrace, type Loaded } from '../trace/load'
import type { Row, Trace } from '../trace/model'
import { Statistics } from '../trace/statistics'
import { Minimap, Waterfall, type Window } from '../trace/waterfall'
import { Copy, Empty, Segments, Shown, Status, Swatch } from '../ui/parts'
import { Typed } from '../typed'
import { useQuery } from '../url'
import { count, exactly, percent, plural, took } from '../words'

export function TracePage({ id }: { id: string }) {
  const trace = useTrace(id)
  return (
    <div class="trace">
      <Shown of={trace} what="This trace" rows={12}>{(v) => (v.trace.rows.length === 0 ? <Empty>There is no span of this trace.</Empty> : <View key={id} id={id} {...v} />)}</Shown>
    </div>
  )
}

type Look = 'waterfall' | 'statistics'

const shares = [0, 0.1, 1, 5, 10] // per cent of the trace's duration

function View({ id, trace, data, cut }: Loaded & { id: string }) {
  const [query, set] = useQuery()
  const { route } = useLocation()
  const [folded, setFolded] = useState<Set<number>>(new Set())
  const [window, zoom] = useState<Window>({ from: 0, to: trace.duration || 1 })
  const look: Look = query.look === 'statistics' ? 'statistics' : 'waterfall'
  const errors = query.errors === '1'
  const path = query.path !== '0'
  const under = Number(query.under) || 0
  const rows = useMemo(() => {
    const least = (under / 100) * trace.duration
    if (errors) return leadingTo(trace, (r) => r.failed)
    return least > 0 ? leadingTo(trace, (r) => r.duration >= least) : unfolded(trace, folded)
  }, [trace, folded, errors, under])
  const found = useFound(trace, query.q ?? '')
  const bySpan = useMemo(() => new Map(trace.rows.map((r) => [r.span?.spanId, r])), [trace])
  const selected = (query.span && bySpan.get(query.span)) || null
  const select = (row: Row | null) => set({ span: row?.span?.spanId ?? row?.parent?.span?.spanId ?? '' })
  /** reveal goes to a row, whatever hides it. */
  const reveal = (row: Row | undefined) => {
    if (!row) return
    const open = new Set(folded)
    for (let up = row.parent; up; up = up.parent) open.delete(up.index)
    if (open.size !== folded.size) setFolded(open)
    set({ span: row.span?.spanId ?? row.parent?.span?.spanId ?? '', ...(rows.includes(row) ? {} : { errors: '', under: '' }) })
  }
  const step = (by: number) => {
    const i = selected ? rows.indexOf(selected) : -1
    const next = rows.slice(i < 0 ? 0 : undefined)[0] && rows[Math.min(rows.length - 1, Math.max(0, i + by))]
    if (next) select(next.span ? next : (rows[rows.indexOf(next) + by] ?? next))
  }
  const match = (by: 1 | -1) => {
    const of = found?.rows ?? []
    const at = selected?.index ?? -1
    reveal(by > 0 ? (of.find((r) => r.index > at) ?? of[0]) : (of.findLast((r) => r.index < at) ?? of.at(-1)))
  }
  const foldAt = (depth: number) => setFolded(new Set(trace.rows.filter((r) => r.children > 0 && r.depth >= depth).map((r) => r.index)))
  const open = useMemo(() => rows.reduce((deepest, r) => Math.max(deepest, r.depth), 0), [rows])
  const compare = `/compare?a=${id}`
  useKeys({
    j: () => step(1), k: () => step(-1), x: () => set({ path: path ? '0' : '' }), '[': () => foldAt(Math.max(0, open - 1)), ']': () => foldAt(open + 1),
    e: () => { const failed = trace.rows.filter((r) => r.failed); reveal(failed.find((r) => r.index > (selected?.index ?? -1)) ?? failed[0]) },
    '/': () => document.getElementById('find')?.focus(), n: () => match(1), N: () => match(-1), c: () => route(compare), Escape: () => select(null),
  })
  const root = trace.rows[0] as Row
  const place = found && selected ? found.rows.indexOf(selected) + 1 : 0
  return (
    <div class={selected ? 'panes open' : 'panes'}>
      <div class="sheet">
        <div class="headline"><h1>{root.service} {root.name}</h1><span class="space" /><a class="button small" href={compare}>Compare <kbd>c</kbd></a><Copy text={() => location.href}>Copy link</Copy></div>
        <p class="faint small">
          {took(trace.duration)} · {plural(trace.spans, 'span')} · {plural(trace.services.length, 'service')} · {exactly(trace.start)} · {trace.errors > 0 && <><span class="bad">{plural(trace.errors, 'error')}</span> · </>}<code>{id}</code>
        </p>
        {cut && <p><Status kind="warning">The trace has more spans than these: the setting trace-store.trace-spans says how many are given.</Status></p>}
        <PathBar trace={trace} />
        <Minimap trace={trace} window={window} choose={zoom} />
        <div class="tools">
          <button class="button small" type="button" aria-pressed={path} onClick={() => set({ path: path ? '0' : '' })}>Critical path <kbd>x</kbd></button>
          <button class="button small" type="button" aria-pressed={errors} onClick={() => set({ errors: errors ? '' : '1' })}>Errors only</button>
          <select class="small" aria-label="Hide spans under a share of the duration" value={String(under)} onChange={(e) => set({ under: e.currentTarget.value === '0' ? '' : e.currentTarget.value })}>
            {shares.map((s) => <option key={s} value={String(s)}>{s === 0 ? 'All lengths' : `Hide under ${s} %`}</option>)}
          </select>
          <button class="button small" type="button" aria-label="Fold a level" onClick={() => foldAt(Math.max(0, open - 1))}>[</button>
          <button class="button small" type="button" aria-label="Unfold a level" onClick={() => foldAt(open + 1)}>]</button>
          {(window.from > 0 || window.to < trace.duration) && <button class="button small" type="button" onClick={() => zoom({ from: 0, to: trace.duration || 1 })}>Whole trace</button>}
          <Find value={query.q ?? ''} said={found ? (found.rows.length === 0 ? 'no span' : place > 0 ? `${count(place)} of ${count(found.rows.length)}` : plural(found.rows.length, 'span')) : ''}
            change={(q) => set({ q })} next={match} />
          <span class="space" />
          <Segments label="View" value={look} of={[['waterfall', 'Waterfall'], ['statistics', 'Statistics']]} choose={(v) => set({ look: v === 'waterfall' ? '' : v })} />
          <Copy text={() => JSON.stringify(data, null, 1)}>Copy OTLP</Copy>
          <a class="button small" href={`/api/v1/traces/${id}`} target="_blank" rel="noreferrer">Raw</a>
        </div>
        {look === 'waterfall'
          ? <Waterfall trace={trace} rows={rows} folded={folded} fold={(row) => setFolded(toggled(folded, row.index))} selected={selected} select={select} path={path} window={window} marked={found?.marked ?? null} />
          : <Statistics trace={trace} />}
        <p class="faint small">{count(rows.length)} of {plural(trace.rows.length, 'row')} shown<span class="legend"><span><i class="swatch wait" />waiting in a broker</span></span></p>
      </div>
      {selected && <Detail id={id} trace={trace} row={selected} close={() => select(null)} />}
    </div>
  )
}

/** Find is where one types what to look for; Enter goes to the next. */
function Find({ value, said, change, next }: { value: string; said: string; change: (q: string) => void; next: (by: 1 | -1) => void }) {
  return (
    <span class="find">
      <Typed id="find" aria-label="Find in this trace" placeholder="Find in this trace  /" value={value} autocomplete="off"
        onInput={(e) => change(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter') { e.preventDefault(); next(e.shiftKey ? -1 : 1) }
          if (e.key === 'Escape') { change(''); e.currentTarget.value = ''; e.currentTarget.blur() }
        }} />
      {value && <><span class="faint small" role="status">{said}</span><button class="button small" type="button" aria-label="Match before" onClick={() => next(-1)}>N</button><button class="button small" type="button" aria-label="Next match" onClick={() => next(1)}>n</button></>}
    </span>
  )
}

function toggled(set: Set<number>, value: number): Set<number> {
  const next = new Set(set)
  if (!next.delete(value)) next.add(value)
  return next
}

/** unfolded are the rows that no fold hides. */
function unfolded(trace: Trace, folded: Set<number>): Row[] {
  if (folded.size === 0) return trace.rows
  const rows: Row[] = []
  for (let i = 0; i < trace.rows.length; i++) {
    const row = trace.rows[i] as Row
    rows.push(row)
    if (folded.has(row.index)) i += row.children
  }
  return rows
}

/** leadingTo are the rows that one wants to see, and those above them. */
function leadingTo(trace: Trace, wanted: (row: Row) => boolean): Row[] {
  const keep = new Set<Row>()
  for (const row of trace.rows) if (wanted(row)) for (let up: Row | null = row; up && !keep.has(up); up = up.parent) keep.add(up)
  return trace.rows.filter((r) => keep.has(r))
}

function PathBar({ trace }: { trace: Trace }) {
  return (
    <div class="path">
      <div class="shares" aria-hidden="true">{trace.path.map((p) => <i key={p.name} class={p.color} style={{ flexGrow: p.share }} />)}</div>
      <div class="legend"><b>Critical path</b>{trace.path.slice(0, 6).map((p) => <span key={p.name}><Swatch color={p.color} />{p.name} {percent(p.share)}</span>)}</div>
    </div>
  )
}
