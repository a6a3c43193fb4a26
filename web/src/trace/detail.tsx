import { useMemo } from 'preact/hooks'
import { get } from '../api/client'
import type { Feature, ListRecordsResponse, StoredRecord } from '../api/types'
import { useAsked } from '../ask'
import { useTopics } from '../live'
import { may } from '../session'
import { Icon } from '../ui/icon'
import { Copy, Segments, Shown, Status, Swatch } from '../ui/parts'
import { useQuery } from '../url'
import { at, count, number, percent, plural, took } from '../words'
import { siblings } from './compare'
import { text, topicOf, typeOf, type KeyValue, type OTLPSpan, type Row, type Trace } from './model'
import { faults, talk, type Said, type Talk } from './talk'

const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

/** Detail is all that is known of a span. */
export function Detail({ id, trace, row, close }: { id: string; trace: Trace; row: Row; close: () => void }) {
  const [query, set] = useQuery()
  const said = useMemo(() => (row.span ? talk(row.span) : null), [row])
  const span = row.span
  if (!span) return null
  const tabs = [
    ...(said ? [['talk', 'In / out'] as const] : []),
    ['attributes', `Attributes ${span.attributes?.length ?? 0}`], ['events', `Events ${span.events?.length ?? 0}`], ['links', `Links ${span.links?.length ?? 0}`],
    ['resource', 'Resource'], ...(may('records.read') ? [['records', 'Records'] as const] : []),
  ] as const
  const first = said ? 'talk' : 'attributes'
  const tab = tabs.find(([key]) => key === query.tab)?.[0] ?? first
  return (
    <aside class="drawer" aria-label="Span">
      <header><Swatch color={row.color} /><span class="faint">{row.service}</span><span class="space" /><button class="quiet" type="button" aria-label="Close" onClick={close}><Icon name="close" /></button></header>
      <h2 class="wrap">{row.name}</h2>
      <p class="faint small">{took(row.duration)} · self {took(row.self)} · starts at {took(row.start)} · {kinds[span.kind ?? 0]}{row.scope && ` · ${row.scope}`}</p>
      {row.failed && <p class="note"><Status kind="error">error</Status> {span.status?.message}</p>}
      {faults(span).map((f, i) => (
        <details key={i} class="fault" open={i === 0}>
          <summary><b>{f.type || 'exception'}</b>{f.message && `: ${f.message}`}</summary>
          {f.trace && <><pre tabIndex={0} aria-label="Stack trace"><code>{f.trace}</code></pre><Copy text={f.trace}>Copy the stack</Copy></>}
        </details>
      ))}
      <ToTopic row={row} />
      <Segments label="Part of the span" value={tab} of={tabs} choose={(v) => set({ tab: v === first ? '' : v })} />
      {tab === 'talk' && said && <TalkOf of={said} />}
      {tab === 'attributes' && <Attributes of={span.attributes ?? []} />}
      {tab === 'resource' && <Attributes of={row.resource} />}
      {tab === 'events' && <Events span={span} />}
      {tab === 'links' && <Links id={id} span={span} />}
      {tab === 'records' && <Records id={id} span={span.spanId} />}
      {tab === first && <Siblings trace={trace} row={row} />}
      <footer class="tools"><Copy text={span.spanId}>Copy span id</Copy><Copy text={() => JSON.stringify(span, null, 1)}>Copy span</Copy></footer>
    </aside>
  )
}

/** ToTopic leads from a span that sent, processed or waited to its topic. */
function ToTopic({ row }: { row: Row }) {
  const topic = topicOf(row)
  if (!topic) return null
  const mesh = row.scope.startsWith('github.com/driftmesh/')
  return (
    <p class="tools">
      {mesh && may('topics.read') && <Lag topic={topic} />}
      <a class="button small" href={`/map?sel=${encodeURIComponent(`${mesh ? 'tm' : 't'}:${topic}`)}`}>On the map</a>
    </p>
  )
}

/** Lag is how far the readers of a topic are behind now, and the way to it. */
function Lag({ topic }: { topic: string }) {
  const groups = useTopics().value?.topics.find((t) => t.name === topic)?.groups
  const lag = groups?.every((g) => g.known) ? groups.reduce((n, g) => n + BigInt(g.total), 0n) : undefined
  return <a class="button small" href={`/pipeline?topic=${encodeURIComponent(topic)}`}>Topic {topic}{lag !== undefined && `, lag ${count(lag.toString())} now`}</a>
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

function Events({ span }: { span: OTLPSpan }) {
  if (!span.events?.length) return <p class="faint small">None.</p>
  return (
    <>
      {span.events.map((e, i) => (
        <details key={i} open={i === 0}><summary>{e.name} <span class="faint">{took(Number(BigInt(e.timeUnixNano ?? 0) - BigInt(span.startTimeUnixNano ?? 0)) / 1e6)} after the start</span></summary><Attributes of={e.attributes ?? []} /></details>
      ))}
    </>
  )
}

function Links({ id, span }: { id: string; span: OTLPSpan }) {
  if (!span.links?.length) return <p class="faint small">None.</p>
  return (
    <>
      {span.links.map((l, i) => (
        <div key={i} class="column">
          <p><a href={`/traces/${encodeURIComponent(l.traceId ?? '')}?span=${encodeURIComponent(l.spanId ?? '')}`}>{l.traceId === id ? 'a span of this trace' : <code>{l.traceId}</code>}</a>
            {l.traceId !== id && <> · <a href={`/compare?a=${id}&b=${encodeURIComponent(l.traceId ?? '')}`}>compare</a></>}</p>
          <Attributes of={l.attributes ?? []} />
        </div>
      ))}
    </>
  )
}

function TalkOf({ of }: { of: Talk }) {
  return (
    <>
      {of.facts.length > 0 && <dl class="told">{of.facts.map(([word, value]) => <div key={word}><dt>{word}</dt><dd>{value}</dd></div>)}</dl>}
      <Parts title="In" of={of.input} />
      <Parts title="Out" of={of.output} />
    </>
  )
}

function Parts({ title, of }: { title: string; of: Said[] }) {
  return (
    <section class="spoken" aria-label={title}>
      <h3>{title}<span class="space" />{of.length > 0 && <Copy text={of.map((s) => s.text).join('\n\n')}>Copy</Copy>}</h3>
      {of.length === 0 ? <p class="faint small">Nothing was written down.</p> : of.map((s, i) => <div key={i}>{s.who && <span class="faint tiny">{s.who}</span>}<pre tabIndex={0} aria-label={`${title}${s.who && `, ${s.who}`}`}>{s.text}</pre></div>)}
    </section>
  )
}

const bars = 24

/** Siblings says how the span stands among those of the same name in this trace. */
function Siblings({ trace, row }: { trace: Trace; row: Row }) {
  const of = useMemo(() => siblings(trace, row), [trace, row])
  const like = `/traces?service=${encodeURIComponent(row.service)}&operation=${encodeURIComponent(row.name)}`
  if (of.rows.length < 2) return <section class="like"><h3>Like this span</h3><p class="small">It is the only one of its name in this trace. <a href={like}>Traces that have one</a></p></section>
  const longest = Math.max(...of.rows.map((r) => r.duration), 1e-9)
  const bin = (r: Row) => Math.min(bars - 1, Math.floor((r.duration / longest) * bars))
  const counts = new Array<number>(bars).fill(0)
  for (const r of of.rows) counts[bin(r)] = (counts[bin(r)] ?? 0) + 1
  const top = Math.max(...counts)
  const others = of.rows.length - 1
  return (
    <section class="like" aria-label="Like this span">
      <h3>Like this span</h3>
      <p class="small">Longer than {percent(of.shorter / others, 0)} of its {plural(others, 'sibling')} in this trace. <a href={like}>Traces that have one</a></p>
      <svg viewBox={`0 0 ${bars * 12} 44`} role="img" aria-label={`Durations of ${count(of.rows.length)} spans from 0 to ${took(longest)}; this one ${took(row.duration)}`}>
        {counts.map((n, i) => <rect key={i} class={i === bin(row) ? 'is' : 'was'} x={i * 12} width={11} y={43 - (n / top) * 42} height={n === 0 ? 0 : Math.max(1, (n / top) * 42)} />)}
      </svg>
      {of.rare.length > 0 && <><p class="small">Unlike most of them:</p><dl class="attributes">{of.rare.slice(0, 8).map((r) => <div key={r.key}><dt>{r.key}<span class="faint tiny">{r.same} of {of.rows.length}</span></dt><dd>{r.value}</dd></div>)}</dl></>}
    </section>
  )
}

/** Records are those that were taken while the span ran. */
function Records({ id, span }: { id: string; span: string }) {
  const records = useAsked(`records ${id} ${span}`, (s) => get<ListRecordsResponse>('/api/v1/records', { trace_id: id, span_id: span, page_size: 200 }, s))
  return (
    <Shown of={records} what="Records">
      {(v) => v.records.length === 0 ? <p class="faint small">No record was taken in this span.</p> : (
        <>
          {v.records.map((r) => <RecordOf key={`${r.profile_name} ${r.record?.id}`} of={r} />)}
          {v.next_page_token && <p class="note">More were taken: <code>driftmesh records list --trace {id}</code> has all.</p>}
        </>
      )}
    </Shown>
  )
}

type Body = { features?: { values?: Partial<Feature>[] }; labels?: { values?: Partial<Feature>[] } }

/** valueOf is a feature's value and its type. */
function valueOf(f: Partial<Feature>): [string, string] {
  if (f.int !== undefined) return [String(f.int), 'int']
  if (f.float !== undefined) return [typeof f.float === 'number' ? number(f.float) : String(f.float), 'float']
  if (f.string !== undefined) return [f.string, 'string']
  if (f.bool !== undefined) return [String(f.bool), 'bool']
  return ['missing', '']
}

function RecordOf({ of: r }: { of: StoredRecord }) {
  const body = (r.record ?? {}) as Body
  const values = body.features?.values ?? body.labels?.values
  const model = `/models/${r.profile_name.split('/').map(encodeURIComponent).join('/')}`
  return (
    <section class="record" aria-label={`Record ${r.record?.id}`}>
      <h3><a href={model}>{r.profile_name}</a><span class="faint tiny">{body.labels ? 'what became known' : ''} {r.record?.id} · {at(r.record?.event_time ?? r.received_time)}</span></h3>
      {values ? (
        <dl class="attributes values">
          {values.map((f) => {
            const [value, type] = valueOf(f)
            return <div key={f.name}><dt><a href={`${model}?feature=${encodeURIComponent(f.name ?? '')}`}>{f.name}</a><span class="faint tiny">{type}</span></dt><dd>{value}</dd></div>
          })}
        </dl>
      ) : <pre tabIndex={0} aria-label="The record"><code>{JSON.stringify(r.record, null, 1)}</code></pre>}
    </section>
  )
}
