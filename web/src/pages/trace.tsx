import { useEffect, useMemo, useState } from 'preact/hooks'
import { get, send } from '../api/client'
import type { ListRecordsResponse } from '../api/types'
import { useAsked } from '../ask'
import { useKeys } from '../keys'
import { may } from '../session'
import { read, text, typeOf, type KeyValue, type OTLPTrace, type Row, type Trace } from '../trace/model'
import { Minimap, Waterfall, type Window } from '../trace/waterfall'
import { Icon } from '../ui/icon'
import { Copy, Empty, Segments, Shown, Status, Swatch } from '../ui/parts'
import { useQuery } from '../url'
import { count, exactly, percent, plural, took } from '../words'

export function TracePage({ id }: { id: string }) {
  const trace = useAsked(id, async (signal) => {
    const answer = await send('GET', `/api/v1/traces/${encodeURIComponent(id)}`, undefined, signal)
    const data = (await answer.json()) as OTLPTrace
    return { data, trace: read(data), cut: answer.headers.has('driftmesh-truncated') }
  })
  useEffect(() => { // a trace that one is sent to may be on its way still
    if (trace.failure?.status !== 404) return
    const timer = setTimeout(trace.again, 2000)
    return () => clearTimeout(timer)
  }, [trace.failure])
  return (
    <div class="trace">
      <Shown of={trace} what="This trace" rows={12}>{(v) => (v.trace.rows.length === 0 ? <Empty>There is no span of this trace.</Empty> : <View id={id} {...v} />)}</Shown>
    </div>
  )
}

type Look = 'waterfall' | 'statistics'

function View({ id, trace, data, cut }: { id: string; trace: Trace; data: OTLPTrace; cut: boolean }) {
  const [query, set] = useQuery()
  const [folded, setFolded] = useState<Set<number>>(new Set())
  const [window, zoom] = useState<Window>({ from: 0, to: trace.duration || 1 })
  const look: Look = query.look === 'statistics' ? 'statistics' : 'waterfall'
  const errors = query.errors === '1'
  const path = query.path !== '0'
  const rows = useMemo(() => (errors ? leadingToErrors(trace) : unfolded(trace, folded)), [trace, folded, errors])
  const selected = (query.span && trace.rows.find((r) => r.span?.spanId === query.span)) || null
  const select = (row: Row | null) => set({ span: row?.span?.spanId ?? row?.parent?.span?.spanId ?? '' })
  const step = (by: number) => {
    const i = selected ? rows.indexOf(selected) : -1
    const next = rows.slice(i < 0 ? 0 : undefined)[0] && rows[Math.min(rows.length - 1, Math.max(0, i + by))]
    if (next) select(next.span ? next : (rows[rows.indexOf(next) + by] ?? next))
  }
  const foldAt = (depth: number) => setFolded(new Set(trace.rows.filter((r) => r.children > 0 && r.depth >= depth).map((r) => r.index)))
  const open = Math.max(0, ...rows.map((r) => r.depth))
  useKeys({
    j: () => step(1), k: () => step(-1), x: () => set({ path: path ? '0' : '' }), '[': () => foldAt(Math.max(0, open - 1)), ']': () => foldAt(open + 1),
    e: () => { const failed = trace.rows.filter((r) => r.failed); select(failed.find((r) => r.index > (selected?.index ?? -1)) ?? failed[0] ?? null) },
    Escape: () => select(null),
  })
  const root = trace.rows[0] as Row
  return (
    <div class={selected ? 'panes open' : 'panes'}>
      <div class="sheet">
        <h1>{root.service} {root.name}</h1>
        <p class="faint small">
          {took(trace.duration)} · {plural(trace.spans, 'span')} · {plural(trace.services.length, 'service')} · {exactly(trace.start)} · {trace.errors > 0 && <><span class="bad">{plural(trace.errors, 'error')}</span> · </>}<code>{id}</code>
        </p>
        {cut && <p><Status kind="warning">The trace has more spans than these: the setting trace-store.trace-spans says how many are given.</Status></p>}
        <PathBar trace={trace} />
        <Minimap trace={trace} window={window} choose={zoom} />
        <div class="tools">
          <button class="button small" type="button" aria-pressed={path} onClick={() => set({ path: path ? '0' : '' })}>Critical path <kbd>x</kbd></button>
          <button class="button small" type="button" aria-pressed={errors} onClick={() => set({ errors: errors ? '' : '1' })}>Errors only</button>
          <button class="button small" type="button" aria-label="Fold a level" onClick={() => foldAt(Math.max(0, open - 1))}>[</button>
          <button class="button small" type="button" aria-label="Unfold a level" onClick={() => foldAt(open + 1)}>]</button>
          {(window.from > 0 || window.to < trace.duration) && <button class="button small" type="button" onClick={() => zoom({ from: 0, to: trace.duration || 1 })}>Whole trace</button>}
          <span class="space" />
          <Segments label="View" value={look} of={[['waterfall', 'Waterfall'], ['statistics', 'Statistics']]} choose={(v) => set({ look: v === 'waterfall' ? '' : v })} />
          <Copy text={JSON.stringify(data, null, 1)}>Copy OTLP</Copy>
          <a class="button small" href={`/api/v1/traces/${id}`} target="_blank" rel="noreferrer">Raw</a>
        </div>
        {look === 'waterfall'
          ? <Waterfall trace={trace} rows={rows} folded={folded} fold={(row) => setFolded(toggled(folded, row.index))} selected={selected} select={select} path={path} window={window} />
          : <Statistics trace={trace} />}
        <p class="faint small">{count(rows.length)} of {plural(trace.rows.length, 'row')} shown<span class="legend"><span><i class="swatch wait" />waiting in a broker</span></span></p>
      </div>
      {selected && <Detail id={id} row={selected} close={() => select(null)} />}
    </div>
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

/** leadingToErrors are the rows that failed, and those above them. */
function leadingToErrors(trace: Trace): Row[] {
  const keep = new Set<Row>()
  for (const row of trace.rows) if (row.failed) for (let up: Row | null = row; up && !keep.has(up); up = up.parent) keep.add(up)
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

function Statistics({ trace }: { trace: Trace }) {
  const [query, set] = useQuery()
  const keys = useMemo(() => [...new Set(trace.rows.flatMap((r) => r.span?.attributes?.map((a) => a.key) ?? []))].sort(), [trace])
  const by = query.by ?? 'operation'
  const groups = useMemo(() => {
    const all = new Map<string, { n: number; failed: number; self: number; total: number; longest: number }>()
    for (const row of trace.rows) {
      if (!row.span) continue
      const key = by === 'operation' ? `${row.service} ${row.name}` : by === 'service' ? row.service : text(row.span.attributes?.find((a) => a.key === by)?.value) || '(none)'
      const g = all.get(key) ?? { n: 0, failed: 0, self: 0, total: 0, longest: 0 }
      g.n++
      g.failed += row.failed ? 1 : 0
      g.self += row.self
      g.total += row.duration
      g.longest = Math.max(g.longest, row.duration)
      all.set(key, g)
    }
    return [...all].sort((a, b) => b[1].self - a[1].self)
  }, [trace, by])
  return (
    <div class="statistics">
      <label class="inline">By <select value={by} onChange={(e) => set({ by: e.currentTarget.value })}><option value="operation">operation</option><option value="service">service</option>{keys.map((k) => <option key={k} value={k}>{k}</option>)}</select></label>
      <table class="dense">
        <thead><tr><th>{by}</th><th class="right">Spans</th><th class="right">Errors</th><th class="right">Self time</th><th class="right">Total</th><th class="right">Mean</th><th class="right">Longest</th></tr></thead>
        <tbody>{groups.slice(0, 500).map(([key, g]) => <tr key={key}><td class="name" title={key}>{key}</td><td class="right">{count(g.n)}</td><td class="right">{g.failed > 0 ? <Status kind="error">{count(g.failed)}</Status> : 0}</td><td class="right">{took(g.self)}</td><td class="right">{took(g.total)}</td><td class="right">{took(g.total / g.n)}</td><td class="right">{took(g.longest)}</td></tr>)}</tbody>
      </table>
    </div>
  )
}

const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

function Detail({ id, row, close }: { id: string; row: Row; close: () => void }) {
  const [query, set] = useQuery()
  const span = row.span
  if (!span) return null
  const tabs = [
    ['attributes', `Attributes ${span.attributes?.length ?? 0}`], ['events', `Events ${span.events?.length ?? 0}`], ['links', `Links ${span.links?.length ?? 0}`],
    ['resource', 'Resource'], ...(may('records.read') ? [['records', 'Records'] as const] : []),
  ] as const
  const tab = tabs.find(([key]) => key === query.tab)?.[0] ?? 'attributes'
  return (
    <aside class="drawer" aria-label="Span">
      <header><Swatch color={row.color} /><span class="faint">{row.service}</span><span class="space" /><button class="quiet" type="button" aria-label="Close" onClick={close}><Icon name="close" /></button></header>
      <h2 class="wrap">{row.name}</h2>
      <p class="faint small">{took(row.duration)} · self {took(row.self)} · starts at {took(row.start)} · {kinds[span.kind ?? 0]}{row.scope && ` · ${row.scope}`}</p>
      {row.failed && <p class="note"><Status kind="error">error</Status> {span.status?.message}</p>}
      <Segments label="Part of the span" value={tab} of={tabs} choose={(v) => set({ tab: v === 'attributes' ? '' : v })} />
      {tab === 'attributes' && <Attributes of={span.attributes ?? []} />}
      {tab === 'resource' && <Attributes of={row.resource} />}
      {tab === 'events' && (span.events ?? []).map((e, i) => (
        <details key={i} open={i === 0}><summary>{e.name} <span class="faint">{took(Number(BigInt(e.timeUnixNano ?? 0) - BigInt(span.startTimeUnixNano ?? 0)) / 1e6)} after the start</span></summary><Attributes of={e.attributes ?? []} /></details>
      ))}
      {tab === 'links' && (span.links ?? []).map((l, i) => <p key={i}><a href={`/traces/${encodeURIComponent(l.traceId ?? '')}?span=${encodeURIComponent(l.spanId ?? '')}`}><code>{l.traceId}</code></a><Attributes of={l.attributes ?? []} /></p>)}
      {tab === 'records' && <Records id={id} span={span.spanId} />}
      <footer><Copy text={span.spanId}>Copy span id</Copy></footer>
    </aside>
  )
}

function Attributes({ of }: { of: KeyValue[] }) {
  if (of.length === 0) return <p class="faint small">None.</p>
  return (
    <dl class="attributes">
      {of.toSorted((a, b) => a.key.localeCompare(b.key)).map((a) => (
        <div key={a.key}><dt>{a.key}<span class="faint tiny">{typeOf(a.value)}</span></dt><dd>{text(a.value)}</dd></div>
      ))}
    </dl>
  )
}

/** Records are those that were taken while the span ran. */
function Records({ id, span }: { id: string; span: string }) {
  const records = useAsked(`records ${id} ${span}`, (s) => get<ListRecordsResponse>('/api/v1/records', { trace_id: id, span_id: span }, s))
  return (
    <Shown of={records} what="Records">
      {(v) => v.records.length === 0 ? <p class="faint small">No record was taken in this span.</p> : v.records.map((r) => <pre key={r.record?.id}><code>{JSON.stringify(r.record, null, 1)}</code></pre>)}
    </Shown>
  )
}
