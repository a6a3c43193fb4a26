import { useMemo, useState } from 'preact/hooks'
import { post } from '../api/client'
import type { SearchTracesResponse } from '../api/types'
import { useAsked } from '../ask'
import { compare, unlike, alike, type Comparison, type Pair, type Side } from '../trace/compare'
import { useTrace } from '../trace/load'
import { colours } from '../trace/colours'
import type { Trace } from '../trace/model'
import { Export } from '../ui/export'
import { Icon } from '../ui/icon'
import { Card, Empty, Segments, Shown, Status, Swatch } from '../ui/parts'
import { useQuery } from '../url'
import { at, count, exactly, millis, percent, plural, took } from '../words'

/** Compare holds two traces against each other: /compare?a=ID&b=ID. */
export function Compare() {
  const [query] = useQuery()
  const a = id(query.a)
  const b = id(query.b)
  if (a && b) return <Both a={a} b={b} />
  return (
    <>
      <h1>Compare two traces</h1>
      <Choose a={a} b={b} />
      {(a || b) && <Like id={a || b} side={a ? 'b' : 'a'} />}
    </>
  )
}

const hex = '[0-9a-fA-F]{16,32}'

/** id is what of an address can be the id of a trace. */
const id = (said: string | undefined): string => (new RegExp(`^${hex}$`).test(said ?? '') ? (said ?? '').toLowerCase() : '')

function Choose({ a, b }: { a: string; b: string }) {
  const [, set] = useQuery()
  return (
    <Card title="Which" note="each by its id">
      <form class="filters body" onSubmit={(e) => {
        e.preventDefault()
        const form = new FormData(e.currentTarget)
        set({ a: String(form.get('a')).trim().toLowerCase(), b: String(form.get('b')).trim().toLowerCase() }, true)
      }}>
        <label class="grow">A<input class="mono" name="a" defaultValue={a} required pattern={hex} title="16 or 32 hex digits" autocomplete="off" /></label>
        <label class="grow">B<input class="mono" name="b" defaultValue={b} required pattern={hex} title="16 or 32 hex digits" autocomplete="off" /></label>
        <button class="button primary" type="submit">Compare</button>
      </form>
    </Card>
  )
}

/** Like offers the newest traces that begin with the same operation. */
function Like({ id, side }: { id: string; side: 'a' | 'b' }) {
  const [, set] = useQuery()
  const like = useAsked(`like ${id}`, async (s) => {
    const day = { start_time: new Date(Date.now() - 86_400_000).toISOString() }
    const [own] = (await post<SearchTracesResponse>('/api/v1/traces:search', { query: { trace_ids: [id], start_time: '1970-01-01T00:00:00Z' } }, s)).traces
    if (!own) return { own: null, traces: [] }
    const found = await post<SearchTracesResponse>('/api/v1/traces:search', { query: { service: own.root_service, operation: own.root_operation, ...day }, page_size: 50 }, s)
    return { own, traces: found.traces.filter((t) => t.trace_id !== id && t.root_operation === own.root_operation && t.root_service === own.root_service) }
  })
  return (
    <Card title="Traces like it" note={like.value?.own ? `${like.value.own.root_service} ${like.value.own.root_operation}, of the last day` : undefined}>
      <Shown of={like} what="Traces like it">
        {(v) => v.traces.length === 0 ? <Empty>{v.own ? 'There is no other of this operation in the last day.' : 'This trace is not kept any more.'} Give the id of another above.</Empty> : (
          <table>
            <thead><tr><th>Time</th><th>Trace</th><th class="right">Duration</th><th class="right">Against it</th><th class="right wide">Spans</th><th class="right">Errors</th><th /></tr></thead>
            <tbody>
              {v.traces.map((t) => (
                <tr key={t.trace_id}>
                  <td class="faint">{at(t.start_time)}</td><td><a href={`/traces/${t.trace_id}`}><code>{t.trace_id.slice(0, 8)}</code></a></td><td class="right">{took(millis(t.duration))}</td>
                  <td class="right faint">{v.own && signed(millis(t.duration) - millis(v.own.duration))}</td><td class="right wide">{count(t.spans)}</td><td class="right">{t.errors > 0 && <Status kind="error">{count(t.errors)}</Status>}</td>
                  <td class="right"><button class="button small" type="button" aria-label={`Compare with ${t.trace_id.slice(0, 8)}`} onClick={() => set({ [side]: t.trace_id }, true)}>Compare</button></td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

function Both({ a, b }: { a: string; b: string }) {
  const left = useTrace(a)
  const right = useTrace(b)
  return (
    <Shown of={left} what="Trace A" rows={6}>
      {(va) => (
        <Shown of={right} what="Trace B" rows={6}>
          {(vb) => va.trace.rows.length === 0 || vb.trace.rows.length === 0
            ? <Empty>There is no span of {va.trace.rows.length === 0 ? 'A' : 'B'}: it is not kept any more, or was never there.</Empty>
            : <View a={a} b={b} ta={va.trace} tb={vb.trace} cut={va.cut || vb.cut} />}
        </Shown>
      )}
    </Shown>
  )
}

const signed = (ms: number): string => (ms === 0 ? '±0' : ms > 0 ? `+${took(ms)}` : took(ms))

/** finding says what the difference is, and where most of it is. */
function finding(ta: Trace, tb: Trace, of: Comparison): string {
  const by = tb.duration - ta.duration
  const whole = Math.abs(by) <= alike * Math.max(ta.duration, tb.duration) ? 'Both took about as long' : by > 0 ? `B took ${took(by)} longer` : `B took ${took(-by)} less`
  const most = of.pairs.reduce<Pair | null>((m, p) => (Math.abs(p.self) > Math.abs(m?.self ?? 0) ? p : m), null)
  if (!most || of.changed === 0) return `${whole}.`
  return `${whole}; most of what differs is in ${most.kind === 'dwell' ? most.name : `${most.service} ${most.name}`} (${signed(most.self)}).`
}

const filters = [['all', 'All'], ['differs', 'What differs'], ['a', 'Only in A'], ['b', 'Only in B']] as const
type Filter = (typeof filters)[number][0]
const passes: Record<Filter, (p: Pair) => boolean> = { all: () => true, differs: (p) => p.verdict !== 'same', a: (p) => p.verdict === 'only A', b: (p) => p.verdict === 'only B' }

function View({ a, b, ta, tb, cut }: { a: string; b: string; ta: Trace; tb: Trace; cut: boolean }) {
  const [query, set] = useQuery()
  const of = useMemo(() => compare(ta, tb), [ta, tb])
  const filter = filters.find(([key]) => key === query.show)?.[0] ?? 'all'
  const shown = useMemo(() => of.pairs.filter(passes[filter]), [of, filter])
  return (
    <>
      <div class="headline"><h1>{finding(ta, tb, of)}</h1><span class="space" /><button class="button" type="button" onClick={() => set({ a: b, b: a })}>Swap A and B</button></div>
      {cut && <p><Status kind="warning">One of them has more spans than were given (trace-store.trace-spans): what is said here is of those.</Status></p>}
      <Totals a={a} b={b} ta={ta} tb={tb} />
      <Card title="Span by span" note={`by the way of services and operations from the root; up to ${percent(alike, 0)} longer or shorter is the same`}
        tools={<><Segments label="Show" value={filter} of={filters.map(([key, word]) => [key, `${word} ${count(of.pairs.filter(passes[key]).length)}`] as const)} choose={(v) => set({ show: v === 'all' ? '' : v })} />
          <Export name="comparison" of={null} rows={() => [['depth', 'service', 'operation', 'verdict', 'spans A', 'spans B', 'ms A', 'ms B', 'difference ms', 'self difference ms'],
            ...of.pairs.map((p) => [p.depth, p.service, p.name, p.verdict, p.a?.n ?? 0, p.b?.n ?? 0, p.a?.total ?? 0, p.b?.total ?? 0, p.difference, p.self])]} /></>}>
        <Tree pairs={shown} all={of} ta={ta} tb={tb} flat={filter !== 'all'} a={a} b={b} />
      </Card>
      <Attributes of={of} />
    </>
  )
}

function Totals({ a, b, ta, tb }: { a: string; b: string; ta: Trace; tb: Trace }) {
  const waits = (t: Trace) => t.rows.reduce((sum, r) => sum + (r.kind === 'dwell' ? r.duration : 0), 0)
  const rows: [string, number, number, (n: number) => string][] = [
    ['Duration', ta.duration, tb.duration, took], ['Waiting in brokers', waits(ta), waits(tb), took],
    ['Spans', ta.spans, tb.spans, count], ['Services', ta.services.length, tb.services.length, count], ['Errors', ta.errors, tb.errors, count],
  ]
  return (
    <Card title="In all">
      <table>
        <thead><tr><th>&nbsp;</th><th class="right">A <a href={`/traces/${a}`}><code>{a.slice(0, 8)}</code></a></th><th class="right">B <a href={`/traces/${b}`}><code>{b.slice(0, 8)}</code></a></th><th class="right">Difference</th><th class="right">B to A</th></tr></thead>
        <tbody>
          <tr><td>Begins</td><td class="right">{exactly(ta.start)}</td><td class="right">{exactly(tb.start)}</td><td class="right">{signed(tb.start - ta.start)}</td><td /></tr>
          {rows.map(([word, x, y, say]) => (
            <tr key={word}><td>{word}</td><td class="right">{say(x)}</td><td class="right">{say(y)}</td>
              <td class="right"><b>{say === took ? signed(y - x) : `${y > x ? '+' : y < x ? '−' : '±'}${count(Math.abs(y - x))}`}</b></td><td class="right faint">{x > 0 ? `× ${(y / x).toFixed(2)}` : ''}</td></tr>
          ))}
        </tbody>
      </table>
    </Card>
  )
}

/** Against says in words, and with a glyph, how B is against A at a place. */
function Against({ of: p }: { of: Pair }) {
  switch (p.verdict) {
    case 'only A': return <span class="status"><i class="swatch was" />only A</span>
    case 'only B': return <span class="status"><i class="swatch is" />only B</span>
    case 'slower': return <Status kind="warning">slower</Status>
    case 'faster': return <Status kind="ok">faster</Status>
    default: return <span class="faint">same</span>
  }
}

const mostRows = 1000

function Tree({ pairs, all, ta, tb, flat, a, b }: { pairs: Pair[]; all: Comparison; ta: Trace; tb: Trace; flat: boolean; a: string; b: string }) {
  const [folded, fold] = useState<Set<number>>(new Set())
  if (pairs.length === 0) return <Empty>There is none.</Empty>
  const seen: Pair[] = []
  for (let i = 0; i < pairs.length; i++) {
    const p = pairs[i] as Pair
    seen.push(p)
    if (!flat && folded.has(p.index)) i += p.children
  }
  const color = colours([...ta.services, ...tb.services])
  const widest = Math.max(...all.pairs.map((p) => Math.abs(p.self)), 1e-9)
  const time = (s: Side | null, t: Trace, id: string) => (s ? <><a href={`/traces/${id}?span=${s.spans[0]?.span?.spanId ?? s.spans[0]?.parent?.span?.spanId ?? ''}`}>{took(s.total)}</a> <span class="faint tiny">{percent(s.total / (t.duration || 1), 0)}</span></> : <span class="faint">–</span>)
  const calls = (p: Pair) => (p.a && p.b && p.a.n === p.b.n ? count(p.a.n) : `${p.a?.n ?? 0} → ${p.b?.n ?? 0}`)
  return (
    <div class="scrolls" tabIndex={0} role="region" aria-label="Spans of both">
      <table class="dense compared">
        <thead><tr><th>Span</th><th>B against A</th><th class="right wide">Spans</th><th class="right">In A, of its duration</th><th class="right">In B</th><th class="right">Difference</th><th class="wide">Of it itself</th><th class="right wide">Share</th></tr></thead>
        <tbody>
          {seen.slice(0, mostRows).map((p) => (
            <tr key={p.index}>
              <td class="name" title={`${p.service} ${p.name}`}>
                <span style={{ paddingLeft: `${flat ? 0 : Math.min(p.depth, 16) * 14}px` }}>
                  {!flat && p.children > 0 ? <button class="fold" type="button" aria-expanded={!folded.has(p.index)} aria-label={folded.has(p.index) ? `Unfold ${p.children}` : 'Fold'} onClick={() => { const next = new Set(folded); if (!next.delete(p.index)) next.add(p.index); fold(next) }}><Icon name={folded.has(p.index) ? 'right' : 'down'} size={12} /></button> : <i class="fold" />}
                  <Swatch color={p.kind === 'dwell' ? 'wait' : color(p.service)} />{p.name} <span class="faint">{p.kind === 'span' && p.service}</span>
                </span>
              </td>
              <td><span class="verdict"><Against of={p} />{(p.a?.failed ?? 0) !== (p.b?.failed ?? 0) && <Status kind="error">{p.a?.failed ?? 0} → {p.b?.failed ?? 0} errors</Status>}</span></td>
              <td class="right wide">{calls(p)}</td><td class="right">{time(p.a, ta, a)}</td><td class="right">{time(p.b, tb, b)}</td>
              <td class="right"><b>{signed(p.difference)}</b></td>
              <td class="wide"><span class="diverging"><i class={p.self > 0 ? 'more' : 'less'} style={{ width: `${(Math.abs(p.self) / widest) * 50}%` }} /></span></td>
              <td class="right wide faint">{signed(p.self)} · {percent(all.changed > 0 ? Math.abs(p.self) / all.changed : 0)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {seen.length > mostRows && <p class="note">{count(seen.length - mostRows)} more are not shown: fold some, or look at what differs.</p>}
    </div>
  )
}

const mostAttributes = 200

function Attributes({ of }: { of: Comparison }) {
  const { found, more } = useMemo(() => unlike(of.pairs, mostAttributes), [of])
  return (
    <Card title="Attributes that differ" note={found.length > 0 ? `${count(found.length)}${more ? ', the first' : ''}, where both have spans` : undefined}>
      {found.length === 0 ? <Empty>None: where both have spans, these say the same.</Empty> : (
        <div class="scrolls" tabIndex={0} role="region" aria-label="Attributes that differ">
          <table class="dense">
            <thead><tr><th>Span</th><th>Attribute</th><th>In A</th><th>In B</th></tr></thead>
            <tbody>
              {found.map((u) => <tr key={`${u.pair.index} ${u.key}`}><td class="name" title={`${u.pair.service} ${u.pair.name}`}><span class="faint">{u.pair.service}</span> {u.pair.name}</td><td class="name" title={u.key}>{u.key}</td><Values of={u.a} /><Values of={u.b} /></tr>)}
            </tbody>
          </table>
        </div>
      )}
      {found.length > 0 && <p class="note">{plural(of.pairs.filter((p) => p.a && p.b).length, 'place')} in both.</p>}
    </Card>
  )
}

const Values = ({ of }: { of: string[] }) => <td class="name" title={of.join('\n')}>{of.length === 0 ? <span class="faint">not there</span> : <code>{of.join(', ')}</code>}</td>
