import { useSignal } from '@preact/signals'
import { useMemo, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { Failure, get, post } from '../api/client'
import type { CountSpansResponse, ListAttributesResponse, ListOperationsResponse, ListServicesResponse, SearchTracesResponse, TraceSummary } from '../api/types'
import { useAsked, type Asked } from '../ask'
import { useKeys } from '../keys'
import { colours } from '../trace/colours'
import { ordered, orderOf, orders, TraceTable, type Order } from '../trace/table'
import { Facets } from '../traces/facets'
import { Heat, HeatLegend, HeatTable, lined, said } from '../traces/heat'
import { askedFor, brushOf, brushText, durationOf, pickedOf, questionOf, tagsOf, within, zoomed, type Change, type Query } from '../traces/query'
import { forget, save, saved } from '../traces/saved'
import { Tags } from '../traces/tags'
import { Typed } from '../typed'
import { Export } from '../ui/export'
import { Card, Empty, Shown } from '../ui/parts'
import { useQuery } from '../url'
import { count, millis, plural, took } from '../words'

/** useCount counts the spans of a question; null asks nothing. */
function useCount(query: unknown, grid: object = { time_buckets: 1, duration_buckets: 4 }): Asked<CountSpansResponse | undefined> {
  return useAsked(`count ${JSON.stringify(query)}`, async (s) => (query ? post<CountSpansResponse>('/api/v1/spans:count', { query, ...grid }, s) : undefined))
}

export function Traces() {
  const [query, set] = useQuery()
  const { route } = useLocation()
  const [more, setMore] = useState<{ key: string; rows: TraceSummary[]; next: string; failure: Failure | null }>({ key: '', rows: [], next: '', failure: null })
  const brush = brushOf(query.brush)
  const [asks, ask] = useState(0)
  // The time that ends now stands still until another question is asked, and so do the rows that one picks from.
  const whole = useMemo(() => askedFor(query), [questionOf(query), asks])
  const asked = within(whole, brush)
  const key = JSON.stringify(asked)
  const page = useAsked(key, (s) => post<SearchTracesResponse>('/api/v1/traces:search', { query: asked, page_size: 50 }, s))
  const map = useCount(whole, { time_buckets: innerWidth < 640 ? 24 : 60, duration_buckets: 14 })
  const brushed = useCount(brush ? asked : null)
  const unserved = useCount(asked.service ? { ...asked, service: '' } : null)
  const counted = brush ? brushed.value : map.value
  const services = asked.service ? unserved.value : counted
  const attributes = useAsked(`attributes ${key}`, (s) => post<ListAttributesResponse>('/api/v1/attributes:list', { query: asked, keys: 60, values: 7 }, s))
  const pages = more.key === key ? more : null
  const loaded = useMemo(() => [...(page.value?.traces ?? []), ...(pages?.rows ?? [])], [page.value, pages])
  const order = orderOf(query.order)
  const rows = useMemo(() => ordered(loaded, order), [loaded, order])
  const picked = pickedOf(query.pick)
  const next = pages ? pages.next : page.value?.next_page_token
  const at = useSignal(-1) // and no state: keys may come faster than it is drawn
  const color = colours([...rows.flatMap((t) => [t.root_service, ...t.services]), ...(services?.services.map((s) => s.name) ?? [])])
  const pick = (id: string) => set({ pick: pickedOf(new URLSearchParams(location.search).get('pick') ?? '', id).join('~') })
  const inOrder = (o: Order) => {
    at.value = -1
    set({ order: o === 'newest' ? '' : o })
  }
  useKeys({
    j: () => { at.value = Math.min(at.value + 1, rows.length - 1) },
    k: () => { at.value = Math.max(at.value - 1, 0) },
    Enter: () => { const row = rows[at.value]; if (row) route(`/traces/${row.trace_id}`) },
    x: () => { const row = rows[at.value]; if (row) pick(row.trace_id) },
    c: () => { if (picked.length === 2) route(comparing(picked)) },
    o: () => inOrder(orders[(orders.indexOf(order) + 1) % orders.length] ?? 'newest'),
    '/': () => document.getElementById('tags')?.focus(),
  })
  const loading = useRef('')
  const load = async () => {
    if (loading.current === `${key} ${next}`) return // it is on its way
    loading.current = `${key} ${next}`
    try {
      const answer = await post<SearchTracesResponse>('/api/v1/traces:search', { query: asked, page_size: 50, page_token: next })
      if (latest.current === key) setMore((old) => ({ key, rows: [...(old.key === key ? old.rows : []), ...answer.traces], next: answer.next_page_token, failure: null }))
    } catch (err) {
      if (latest.current === key) setMore((old) => ({ key, rows: old.key === key ? old.rows : [], next: next ?? '', failure: err as Failure }))
    }
    loading.current = ''
  }
  const latest = useRef(key)
  latest.current = key
  const [title, note] = howMany(rows.length, !next, counted)
  return (
    <>
      <Filters query={query} set={set} asked={whole} ask={() => ask(asks + 1)} />
      <div class="search">
        <Facets query={query} set={set} counted={counted} services={services} attributes={attributes} color={color} />
        <div class="column">
          <Density of={map} whole={whole} query={query} set={set} />
          <Card title={page.value ? title : 'Traces'} label="Results" note={page.value ? `${note}${inWords(order, !next)}` : ''} tools={rows.length > 0 && <Export name="traces" rows={() => lines(rows)} of={null} />}>
            {picked.length > 0 && <Picked ids={picked} rows={rows} drop={pick} clear={() => set({ pick: '' })} />}
            <Shown of={page} what="Traces" rows={8}>
              {() => rows.length === 0 ? <Nothing query={query} set={set} /> : (
                <>
                  <TraceTable traces={rows} selected={at.value} color={color} order={order} inOrder={inOrder} picked={picked} pick={pick} />
                  {pages?.failure && <p class="note" role="alert">{pages.failure.message}</p>}
                  {next && <p class="body"><button class="button" type="button" onClick={() => void load()}>Show more</button></p>}
                </>
              )}
            </Shown>
          </Card>
        </div>
      </div>
    </>
  )
}

/** howMany says how many traces are shown, and of how many: what is known of it. */
function howMany(shown: number, all: boolean, of: CountSpansResponse | undefined): [string, string] {
  if (all) return [plural(shown, 'trace'), 'complete']
  const total = Number(of?.total?.traces ?? 0)
  if (!of || total <= shown) return [`${count(shown)} of at least ${plural(shown + 1, 'trace')}`, 'the newest']
  if (of.sampled > 1) return [`${count(shown)} of about ${plural(total, 'trace')}`, `the newest; one trace in ${count(of.sampled)} was counted`]
  return [`${count(shown)} of ${plural(total, 'trace')}`, 'the newest']
}

const lines = (rows: TraceSummary[]) => [
  ['trace_id', 'start_time', 'service', 'operation', 'duration_ms', 'spans', 'errors', 'services'],
  ...rows.map((t) => [t.trace_id, t.start_time, t.root_service, t.root_operation, millis(t.duration), t.spans, t.errors, t.services.join(' ')]),
]

/** inWords says in which order rows are; without all of them, of which. */
const inWords = (order: Order, all: boolean): string => (order === 'newest' ? '' : `; ${order === 'longest' ? 'the longest' : 'most errors'}${all ? '' : ' of those shown'} first`)

const comparing = (ids: readonly string[]): string => `/compare?a=${ids[0]}&b=${ids[1]}`

/** Picked are the traces to compare, loaded or not, in the order in which they were picked. */
function Picked({ ids, rows, drop, clear }: { ids: string[]; rows: TraceSummary[]; drop: (id: string) => void; clear: () => void }) {
  return (
    <div class="picked tools" role="group" aria-label="Picked to compare">
      {ids.map((id, i) => {
        const row = rows.find((r) => r.trace_id === id)
        const said = row ? `${row.root_service} ${row.root_operation}, ${took(millis(row.duration))}` : 'not among the rows below'
        return <span key={id} class="small pick" title={said}><b>{'AB'[i]}</b> <code>{id.slice(0, 8)}</code> <span class="faint">{said}</span> <button class="button small quiet" type="button" aria-label={`Drop ${id.slice(0, 8)}`} onClick={() => drop(id)}>×</button></span>
      })}
      <span class="space" />
      {ids.length === 2 ? <a class="button small primary" href={comparing(ids)}>Compare <kbd>c</kbd></a> : <span class="faint small" role="status">Pick another to compare it with</span>}
      <button class="button small" type="button" onClick={clear}>Clear</button>
    </div>
  )
}

function Density({ of, whole, query, set }: { of: Asked<CountSpansResponse | undefined>; whole: ReturnType<typeof askedFor>; query: Query; set: Change }) {
  const start = Date.parse(whole.start_time)
  const brush = brushOf(query.brush)
  return (
    <Card title="Duration × time" note="of spans; drag to choose, Esc to clear" tools={of.value && <><HeatLegend of={of.value} /><Export name="spans" of={null} rows={() => [
      ['time', 'from_ms', 'to_ms', 'spans', 'errors'], ...lined(of.value as CountSpansResponse, start).map((l) => [new Date(l.time).toISOString(), l.from / 1e6, l.to ? l.to / 1e6 : null, l.spans, l.errors])]} /></>}>
      <Shown of={of} what="The map" rows={6}>
        {(v) => v && (
          <>
            <Heat of={v} start={start} end={Date.parse(whole.end_time)} brush={brush} choose={(b) => set({ brush: b ? brushText(b) : '' }, true)} />
            {v.sampled > 1 && <p class="note">Estimates: one trace in {count(v.sampled)} was counted.</p>}
            {brush && (
              <p class="body tools">
                <span>Only {said(brush)}.</span>
                <button class="button small" type="button" onClick={() => set(zoomed(brush, query), true)}>Zoom in</button>
                <button class="button small" type="button" onClick={() => set({ brush: '' }, true)}>Without it</button>
              </p>
            )}
            {v.rows.length > 0 && <HeatTable of={v} start={start} />}
          </>
        )}
      </Shown>
    </Card>
  )
}

function Filters({ query, set, asked, ask }: { query: Query; set: Change; asked: ReturnType<typeof askedFor>; ask: () => void }) {
  const services = useAsked('service names', (s) => get<ListServicesResponse>('/api/v1/services', {}, s), 60_000)
  const operations = useAsked(`operations ${query.service ?? ''}`, async (s) => (query.service ? get<ListOperationsResponse>(`/api/v1/services/${encodeURIComponent(query.service)}/operations`, {}, s) : { operations: [], truncated: false }))
  const [wrong, complain] = useState('')
  const { start_time, end_time } = asked
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    const said = Object.fromEntries(['service', 'operation', 'tags', 'min', 'max', 'errors'].map((k) => [k, String(form.get(k) ?? '').trim()]))
    for (const k of ['min', 'max']) if (said[k] && durationOf(said[k]) === undefined) return complain(`${said[k]} is no duration: write 200ms, 1.5s or 2m.`)
    if (said.tags && Object.keys(tagsOf(said.tags)).length === 0) return complain('Tags are key=value, with quotes around blanks: plan="very large".')
    if (!said.errors && query.errors === '0') said.errors = '0'
    complain('')
    set(said, true)
    ask() // what came since, too
  }
  return (
    <div class="asking">
      <form class="filters" onSubmit={submit} role="search">
        <label>Service<Typed value={query.service ?? ''} name="service" list="services" placeholder="any" /></label>
        <datalist id="services">{services.value?.services.map((s) => <option key={s} value={s} />)}</datalist>
        <label>Operation<Typed value={query.operation ?? ''} name="operation" list="operations" placeholder="any" /></label>
        <datalist id="operations">{operations.value?.operations.map((o) => <option key={`${o.name} ${o.span_kind}`} value={o.name} />)}</datalist>
        <Tags value={query.tags ?? ''} query={{ service: query.service ?? '', start_time, end_time }} />
        <label class="short">At least<Typed value={query.min ?? ''} name="min" placeholder="200ms" /></label>
        <label class="short">At most<Typed value={query.max ?? ''} name="max" placeholder="2s" /></label>
        <label class="check" key={query.errors}><input type="checkbox" name="errors" value="1" defaultChecked={query.errors === '1'} />Errors only</label>
        <button class="button primary" type="submit">Search</button>
        {wrong && <p class="note wrong" role="alert">{wrong}</p>}
      </form>
      <SavedSearches />
    </div>
  )
}

function SavedSearches() {
  const { query, route } = useLocation()
  const all = saved()
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const form = e.currentTarget as HTMLFormElement
    const name = String(new FormData(form).get('name') ?? '').trim()
    if (!name) return
    const { pick: _, ...kept } = query
    save({ name, query: new URLSearchParams(kept).toString() })
    form.reset()
  }
  return (
    <details class="drop">
      <summary class="button">Saved{all.length > 0 ? ` · ${all.length}` : ''}</summary>
      <form class="card" onSubmit={submit}>
        {all.length === 0 ? <p class="note">No search is saved in this browser.</p> : (
          <ul aria-label="Saved searches">
            {all.map((s) => (
              <li key={s.name}>
                <a href={`/traces?${s.query}`} onClick={(e) => { e.preventDefault(); (e.currentTarget.closest('details') as HTMLDetailsElement).open = false; route(`/traces?${s.query}`) }}>{s.name}</a>
                <span class="space" />
                <button class="button small" type="button" aria-label={`Forget ${s.name}`} onClick={() => forget(s.name)}>Forget</button>
              </li>
            ))}
          </ul>
        )}
        <label>Save this search as<input name="name" maxLength={80} required placeholder="slow checkouts" /></label>
        <button class="button primary" type="submit">Save</button>
      </form>
    </details>
  )
}

function Nothing({ query, set }: { query: Query; set: Change }) {
  const filters = ['service', 'operation', 'tags', 'min', 'max', 'errors', 'brush'].filter((k) => query[k])
  return (
    <Empty>
      <p>Nothing matches{filters.length > 0 ? ` ${filters.join(', ')}` : ''} in this time.</p>
      <p>
        {filters.map((k) => <button key={k} class="button small" type="button" onClick={() => set({ [k]: '' }, true)}>Without {k}</button>)}
        <button class="button small" type="button" onClick={() => set({ range: '7d', start: '', end: '', brush: '' }, true)}>Last 7 days</button>
      </p>
    </Empty>
  )
}
