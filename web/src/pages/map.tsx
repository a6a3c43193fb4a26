import { useEffect, useMemo, useRef } from 'preact/hooks'
import { get, post } from '../api/client'
import type { GetServiceGraphResponse, GraphEdge, GraphNode, ListServicesResponse, ListTopicsResponse, MeasureServicesResponse } from '../api/types'
import { useAsked } from '../ask'
import { told as deployed, useDeploys } from '../deploys'
import { useKeys } from '../keys'
import { behind, Lag, lagOf } from '../lag'
import { useTopics } from '../live'
import { bad, edgeKey, errorsOf, failing, isTopic, keyOf, label, most, ms, perSecond, rate, told, type Look, type Measured } from '../map/graph'
import { curve, layout, middle, size } from '../map/layout'
import { may } from '../session'
import { Icon } from '../ui/icon'
import { Card, Empty, Segments, Shown, Status } from '../ui/parts'
import { known, rangeKey, ranges, useQuery } from '../url'
import { at as moment, count, millis, plural, took } from '../words'

const looks = [['rate', 'Rate'], ['errors', 'Errors'], ['latency', 'Latency'], ['dwell', 'Dwell']] as const
const pictured = 80 // nodes that a picture has room for
const windows = 24 // that one steps through

interface Time { minutes: number; end: number; live: boolean }

/** timeOf is the time that an address is about; live, it goes on. */
function timeOf(query: Record<string, string>): Time {
  const minutes = ranges.find(([key]) => key === rangeKey(query, '1h'))?.[2] ?? 60
  const at = Date.parse(query.at ?? '')
  return !known(at) ? { minutes, end: Math.ceil(Date.now() / 60_000) * 60_000, live: true } : { minutes, end: at, live: false }
}

export function ServiceMap() {
  const [query, set] = useQuery()
  const time = timeOf(query)
  const mesh = query.mesh !== '0'
  const small = matchMedia('(max-width: 640px)').matches
  const view = query.view === 'table' || (small && query.view !== 'graph') ? 'table' : 'graph'
  const look: Look = looks.find(([key]) => key === query.show)?.[0] ?? 'rate'
  const graph = useAsked(`map ${time.live ? 'now' : time.end} ${time.minutes} ${mesh}`, async (signal): Promise<Measured> => {
    const { end, minutes } = time.live ? timeOf(query) : time
    const graph = await get<GetServiceGraphResponse>('/api/v1/service-graph', { start_time: iso(end - minutes * 60_000), end_time: iso(end), with_mesh: mesh }, signal)
    return { graph, seconds: minutes * 60 }
  }, time.live ? 15_000 : 0)
  const choose = (key: string) => set({ sel: query.sel === key ? '' : key })
  useKeys({ Escape: () => set({ sel: '' }) })
  const node = graph.value?.graph.nodes.find((n) => keyOf(n.place) === query.sel)
  const edge = graph.value?.graph.edges.find((e) => edgeKey(e) === query.sel)
  const topics = graph.value?.graph.nodes.filter((n) => isTopic(n.place)).length ?? 0
  return (
    <div class="trace map">
    <div class={node || edge ? 'panes open' : 'panes'}>
      <div class="sheet">
        <div class="headline">
          <h1>Map</h1>
          {graph.value && <span class="faint small">{plural(graph.value.graph.nodes.length - topics, 'service')}, {plural(topics, 'topic')}, {plural(graph.value.graph.spans, 'span')}</span>}
          <span class="space" />
          <label class="check"><input type="checkbox" checked={mesh} onChange={(e) => set({ mesh: e.currentTarget.checked ? '' : '0' })} />The mesh itself</label>
          <Segments label="What edges show" value={look} of={looks} choose={(v) => set({ show: v === 'rate' ? '' : v })} />
          <Segments label="View" value={view} of={[['graph', 'Graph'], ['table', 'Table']]} choose={(v) => set({ view: v })} />
        </div>
        <Shown of={graph} what="The map" rows={10}>
          {(m) => m.graph.nodes.length === 0
            ? <Empty><p>No span started between {moment(time.end - time.minutes * 60_000)} and {moment(time.end)}.</p><p><button class="button small" type="button" onClick={() => set({ range: '24h', at: '' })}>Last 24 hours</button></p></Empty>
            : (
              <>
                {Number(m.graph.one_in) > 1 && <p class="note"><Status kind="warning">of one trace in {count(m.graph.one_in)}</Status> There are more spans in this time than a map looks at: rates are {count(m.graph.one_in)} times what was counted.</p>}
                {m.graph.truncated && <p class="note"><Status kind="warning">the most called of them</Status> There are more services, topics or calls than these.</p>}
                {view === 'graph' ? <Picture m={m} look={look} chosen={query.sel ?? ''} choose={choose} table={() => set({ view: 'table' })} /> : <Tables m={m} chosen={query.sel ?? ''} choose={choose} />}
              </>
            )}
        </Shown>
        <Steps time={time} set={set} service={query.sel?.startsWith('s:') && !query.sel.includes('>') ? query.sel.slice(2) : ''} />
        {view === 'graph' && <Legend />}
      </div>
      {graph.value && node && <NodeDrawer m={graph.value} node={node} time={time} choose={choose} close={() => set({ sel: '' })} />}
      {graph.value && edge && <EdgeDrawer m={graph.value} edge={edge} time={time} choose={choose} close={() => set({ sel: '' })} />}
    </div>
    </div>
  )
}

const iso = (t: number): string => new Date(t).toISOString()

/** press makes of an element of a picture a button. */
const press = (deed: () => void) => ({
  role: 'button' as const, tabindex: 0, onClick: deed,
  onKeyDown: (e: KeyboardEvent) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); deed() } },
})

function Picture({ m, look, chosen, choose, table }: { m: Measured; look: Look; chosen: string; choose: (key: string) => void; table: () => void }) {
  const { nodes, edges } = useMemo(() => most(m.graph, pictured), [m])
  const shape = `${nodes.map((n) => keyOf(n.place)).join('\n')}\n\n${edges.map(edgeKey).join('\n')}`
  const drawn = useMemo(() => layout(nodes.map((n) => keyOf(n.place)), edges.map((e) => [keyOf(e.from), keyOf(e.to)])), [shape])
  const lag = useLag()
  const fastest = Math.max(...edges.map((e) => Number(e.figures?.calls ?? 0)), 1)
  const canvas = useRef<HTMLDivElement>(null)
  useEffect(() => canvas.current?.querySelector('.node.chosen')?.scrollIntoView({ block: 'nearest', inline: 'center' }), [chosen, shape])
  const byEnds = useMemo(() => new Map(edges.map((e) => [edgeKey(e), e])), [edges])
  return (
    <div class="card canvas" ref={canvas}>
      {nodes.length < m.graph.nodes.length && <p class="note">The {count(nodes.length)} called most; <button class="link" type="button" onClick={table}>the table</button> has all.</p>}
      <svg viewBox={`0 0 ${drawn.width} ${drawn.height}`} style={{ maxWidth: `${drawn.width * 1.15}px`, minWidth: `${Math.min(drawn.width * 0.72, 1400)}px` }} role="group" aria-label="Services and topics, and what goes between them; the table has the same">
        <defs>
          <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0.500 8 4 0 7.500Z" class="tip" /></marker>
          <pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="5" height="5" class="ground" /><line x1="0" x2="0" y1="0" y2="5" class="stripe" /></pattern>
        </defs>
        {drawn.ways.map((way) => {
          const key = `${way.from}>${way.to}`
          const e = byEnds.get(key)
          if (!e) return null
          const through = isTopic(e.from) || isTopic(e.to)
          const wrong = failing(e.figures) > bad
          const words = label(m, e, look)
          const [x, y] = middle(way.points)
          const d = curve(way.points)
          return (
            <g key={key} class={['edge', through ? 'through' : '', wrong ? 'wrong' : '', chosen === key ? 'chosen' : ''].join(' ')} aria-pressed={chosen === key} {...press(() => choose(key))}>
              <title>{told(m, e)}</title>
              <path class="hit" d={d} />
              <path class="way" d={d} marker-end="url(#tip)" stroke-width={through ? 1.2 : 1.2 + 2 * Math.sqrt(Number(e.figures?.calls ?? 0) / fastest)} />
              {words && <text x={x} y={y + 4} text-anchor="middle">{words}</text>}
            </g>
          )
        })}
        {nodes.map((n) => {
          const key = keyOf(n.place)
          const box = drawn.boxes.get(key)
          return box && <Place key={key} m={m} node={n} x={box.x} y={box.y} lag={lag(n)} chosen={chosen === key} choose={() => choose(key)} />
        })}
      </svg>
    </div>
  )
}

/** useLag is how far the readers of a topic of the mesh are behind, for who may see. */
function useLag(): (n: GraphNode) => string | undefined {
  const seen = may('topics.read')
  const topics = seen ? useTopics().value : undefined // who one is changes with the page only
  return (n) => lagAt(topics, n)
}

const lagAt = (topics: ListTopicsResponse | undefined, n: GraphNode): string | undefined =>
  n.place?.mesh && isTopic(n.place) ? lagOf(topics?.topics.find((t) => t.name === n.place?.name)) : undefined

function nodeWords(m: Measured, n: GraphNode, lag: string | undefined): string {
  const f = n.figures
  if (isTopic(n.place)) return [lag !== undefined && `lag ${count(lag)}`, n.dwell?.p50 ? `dwell ${ms(n.dwell.p50)}` : Number(f?.calls ?? 0) > 0 && `${rate(m, f?.calls)} in`].filter(Boolean).join(' · ')
  return Number(f?.calls ?? 0) > 0 ? `${rate(m, f?.calls)} · p95 ${ms(f?.p95)}` : 'not entered in this time'
}

function Place({ m, node: n, x, y, lag, chosen, choose }: { m: Measured; node: GraphNode; x: number; y: number; lag: string | undefined; chosen: boolean; choose: () => void }) {
  const name = n.place?.name ?? ''
  const topic = isTopic(n.place)
  const wrong = failing(n.figures) > bad
  const words = nodeWords(m, n, lag)
  const [short, figures] = [clipped(name, topic ? 17 : 18), clipped(words, 26)]
  // What is seen is part of the name, so that one can say it.
  const said = `${topic ? 'topic' : 'service'} ${short} ${figures}${short === name ? '' : `, ${name}`}${n.place?.mesh ? ', of the mesh' : ''}${wrong ? `, ${errorsOf(n.figures)} errors` : ''}`
  return (
    <g class={['node', topic ? 'topic' : 'service', n.place?.mesh ? 'mesh' : '', wrong ? 'wrong' : '', chosen ? 'chosen' : ''].join(' ')} transform={`translate(${x} ${y})`} aria-pressed={chosen} {...press(choose)}>
      <title>{said}</title>
      <rect class="ring" x="-4" y="-4" width={size.width + 8} height={size.height + 8} rx={topic ? 30 : 9} />
      <rect class="box" width={size.width} height={size.height} rx={topic ? 26 : 6} />
      {topic ? <circle class="dot" cx="18" cy="18" r="5" /> : <rect class="dot" x="11" y="13" width="9" height="9" rx="2" />}
      <text class="name" x={topic ? 28 : 26} y="22">{short}</text>
      <text class="figures" x={topic ? 16 : 11} y="41">{figures}</text>
      {wrong && <g class="mark" transform={`translate(${size.width - 6} 2)`}><circle r="9" /><path d="m-3-3 6 6m0-6-6 6" /></g>}
    </g>
  )
}

const clipped = (text: string, room: number): string => (text.length > room ? `${text.slice(0, room - 1)}…` : text)

function Legend() {
  return (
    <p class="legend map-legend" aria-hidden="true">
      <span><svg width="24" height="8"><path class="call" d="M0 4h24" /></svg>call, width by rate</span>
      <span><svg width="24" height="8"><path class="call dashed" d="M0 4h24" /></svg>through a broker</span>
      <span><svg width="18" height="10"><rect class="pill" x=".5" y=".5" width="17" height="9" rx="4.500" /></svg>topic</span>
      <span><svg width="18" height="10"><rect class="pill own" x=".5" y=".5" width="17" height="9" rx="2" /></svg>the mesh itself, as far as it is traced</span>
      <span class="bad">✕ errors over 1 %</span>
    </p>
  )
}

/** Steps goes through time, a window at a time; the bars are the calls of all services.
 * Marks are new versions, of the service that is chosen or of all. */
function Steps({ time, set, service }: { time: Time; set: (change: Record<string, string>, step?: boolean) => void; service: string }) {
  const step = time.minutes * 60_000
  const now = Math.ceil(Date.now() / 60_000) * 60_000
  // The windows end where the one in the address does, as long as that is among the last.
  const behind = Math.round((now - time.end) / step)
  const last = time.live || behind >= windows ? time.end + (time.live ? 0 : Math.floor(windows / 2) * step) : time.end + behind * step
  const place = windows - 1 - Math.round((last - time.end) / step)
  const calls = useAsked(`steps ${time.live ? Math.floor(now / step) : last} ${time.minutes}`, async (signal): Promise<number[]> => {
    const { services } = await get<ListServicesResponse>('/api/v1/services', {}, signal)
    if (services.length === 0) return []
    const { series } = await post<MeasureServicesResponse>('/api/v1/services:measure', {
      services: services.slice(0, 100), start_time: iso(last - (windows - 1) * step), end_time: iso(last), step: `${step / 1000}s`, window: `${step / 1000}s`,
    }, signal)
    return Array.from({ length: windows }, (_, i) => series.reduce((n, s) => n + Number(s.calls[i] ?? 0), 0))
  })
  const from = last - windows * step
  const deploys = useDeploys(from, last, service)
  const go = (i: number) => set({ at: i >= windows - 1 && (time.live || behind < windows) ? '' : iso(last - (windows - 1 - i) * step) }, false)
  const top = Math.max(...(calls.value ?? []), 1)
  return (
    <div class="steps">
      <button class="button small" type="button" aria-label="Earlier" onClick={() => set({ at: iso(time.end - step) })}>‹</button>
      <div class="slide">
        <div class="bars" aria-hidden="true">
          {Array.from({ length: windows }, (_, i) => <i key={i} class={i === place ? 'on' : undefined} title={`${moment(last - (windows - 1 - i) * step)}: ${count(calls.value?.[i] ?? 0)} spans`} style={{ height: `${4 + (28 * (calls.value?.[i] ?? 0)) / top}px` }} onClick={() => go(i)} />)}
          {deploys.map((d) => <b key={d.version} class="deploy" title={deployed(d)} style={{ left: `${(100 * (d.at - from)) / (last - from)}%` }}>▾</b>)}
        </div>
        <input type="range" min={0} max={windows - 1} value={place} aria-label="Time" aria-valuetext={`${moment(time.end - step)} to ${moment(time.end)}`} onChange={(e) => go(Number(e.currentTarget.value))} />
      </div>
      <button class="button small" type="button" aria-label="Later" disabled={time.live} onClick={() => set({ at: time.end + step >= now ? '' : iso(time.end + step) })}>›</button>
      {deploys.length > 0 && <p class="deploys small"><span class="faint">▾ New versions:</span> {deploys.map(deployed).join(' · ')}</p>}
      <span class="small">{moment(time.end - step)} – {time.live ? 'now' : moment(time.end)}</span>
      {!time.live && <button class="button small" type="button" onClick={() => set({ at: '' })}>Now</button>}
    </div>
  )
}

function Tables({ m, chosen, choose }: { m: Measured; chosen: string; choose: (key: string) => void }) {
  const lag = useLag()
  return (
    <>
      <Card title="Services and topics">
        <div class="sideways" tabIndex={0} role="region" aria-label="Table of services and topics">
          <table>
            <thead><tr><th>Name</th><th class="wide">Kind</th><th class="right">Rate</th><th class="right">Errors</th><th class="right wide">p50</th><th class="right">p95</th><th class="right wide">p99</th><th class="right">Dwell p50</th><th class="right wide">Lag</th></tr></thead>
            <tbody>
              {m.graph.nodes.map((n) => (
                <tr key={keyOf(n.place)} class={chosen === keyOf(n.place) ? 'selected' : undefined}>
                  <td class="name"><button class="link" type="button" title={n.place?.name} onClick={() => choose(keyOf(n.place))}>{n.place?.name}</button></td>
                  <td class="wide faint">{isTopic(n.place) ? 'topic' : 'service'}{n.place?.mesh && ' of the mesh'}</td>
                  <td class="right">{rate(m, n.figures?.calls)}</td><td class="right">{failing(n.figures) > bad ? <Status kind="error">{errorsOf(n.figures)}</Status> : errorsOf(n.figures)}</td>
                  <td class="right wide">{ms(n.figures?.p50)}</td><td class="right">{ms(n.figures?.p95)}</td><td class="right wide">{ms(n.figures?.p99)}</td>
                  <td class="right">{ms(n.dwell?.p50)}</td><td class="right wide">{lag(n) !== undefined ? count(lag(n)) : '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
      <Card title="Calls and messages" note="who, whom, how often, how long">
        <div class="sideways" tabIndex={0} role="region" aria-label="Table of calls and messages">
          <table>
            <thead><tr><th>From</th><th>To</th><th class="right">Rate</th><th class="right">Errors</th><th class="right wide">p50</th><th class="right">p95</th><th class="right wide">p99</th><th class="right wide">Dwell p50</th><th class="right wide">Dwell p95</th></tr></thead>
            <tbody>
              {m.graph.edges.map((e) => (
                <tr key={edgeKey(e)} class={chosen === edgeKey(e) ? 'selected' : undefined}>
                  <td class="name"><button class="link" type="button" title={told(m, e)} onClick={() => choose(edgeKey(e))}>{e.from?.name}</button></td><td class="name" title={e.to?.name}>{e.to?.name}</td>
                  <td class="right">{rate(m, e.figures?.calls)}</td><td class="right">{failing(e.figures) > bad ? <Status kind="error">{errorsOf(e.figures)}</Status> : errorsOf(e.figures)}</td>
                  <td class="right wide">{ms(e.figures?.p50)}</td><td class="right">{ms(e.figures?.p95)}</td><td class="right wide">{ms(e.figures?.p99)}</td>
                  <td class="right wide">{ms(e.dwell?.p50)}</td><td class="right wide">{ms(e.dwell?.p95)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
    </>
  )
}

/** tracesOf is the search for traces with spans of a service in a time. */
export function tracesOf(service: string, time: Time, more: Record<string, string> = {}): string {
  const q = new URLSearchParams({ service, start: iso(time.end - time.minutes * 60_000), end: iso(time.end), ...more })
  return `/traces?${q.toString()}`
}

const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`

const throughTopic = (topic: string, time: Time): string => {
  const q = new URLSearchParams({ tags: `messaging.destination.name=${quoted(topic)}`, start: iso(time.end - time.minutes * 60_000), end: iso(time.end) })
  return `/traces?${q.toString()}`
}

function Figures({ m, of }: { m: Measured; of: GraphNode['figures'] }) {
  return (
    <dl class="pairs">
      <div><dt>Rate</dt><dd>{rate(m, of?.calls)} <span class="faint">{count(of?.calls ?? 0)} counted</span></dd></div>
      <div><dt>Errors</dt><dd>{failing(of) > bad ? <Status kind="error">{errorsOf(of)}</Status> : errorsOf(of)} <span class="faint">{count(of?.errors ?? 0)}</span></dd></div>
      <div><dt>p50 · p95 · p99</dt><dd>{ms(of?.p50)} · {ms(of?.p95)} · {ms(of?.p99)}</dd></div>
    </dl>
  )
}

function NodeDrawer({ m, node: n, time, choose, close }: { m: Measured; node: GraphNode; time: Time; choose: (key: string) => void; close: () => void }) {
  const name = n.place?.name ?? ''
  const topic = isTopic(n.place)
  const key = keyOf(n.place)
  const lag = useLag()(n)
  const into = m.graph.edges.filter((e) => keyOf(e.to) === key)
  const out = m.graph.edges.filter((e) => keyOf(e.from) === key)
  return (
    <aside class="drawer" aria-label={topic ? 'Topic' : 'Service'}>
      <header><span class="faint">{topic ? 'topic' : 'service'}{n.system && ` · ${n.system}`}{n.place?.mesh && ' · of the mesh itself'}</span><span class="space" /><button class="quiet" type="button" aria-label="Close" onClick={close}><Icon name="close" /></button></header>
      <h2 class="wrap">{name}</h2>
      {topic ? (
        <dl class="pairs">
          <div><dt>In</dt><dd>{rate(m, n.figures?.calls)}{into.length > 0 && <span class="faint"> from {into.map((e) => e.from?.name).join(', ')}</span>}</dd></div>
          <div><dt>Dwell p50 · p95</dt><dd>{ms(n.dwell?.p50)} · {ms(n.dwell?.p95)} <span class="faint">of {plural(n.dwell?.count ?? 0, 'message')}</span></dd></div>
          <div><dt>Redelivered</dt><dd>{count(n.dwell?.redelivered ?? 0)}</dd></div>
          {lag !== undefined && <div><dt>Lag now</dt><dd><b>{count(lag)}</b> {plural(lag, 'message').replace(/^\S+ /, '')}</dd></div>}
        </dl>
      ) : <Figures m={m} of={n.figures} />}
      {lag !== undefined && <Lag topic={name} points={behind(name)} />}
      {topic && out.some((e) => e.dwell?.p95) && <Dwells edges={out} />}
      {!topic && !n.place?.mesh && <Series service={name} time={time} />}
      <Ends title={topic ? 'Sent by' : 'Called by'} m={m} edges={into} end="from" choose={choose} />
      <Ends title={topic ? 'Processed by' : 'Calls'} m={m} edges={out} end="to" choose={choose} />
      <footer>
        {topic && !n.place?.mesh && <a class="button small" href={throughTopic(name, time)}>Traces through it</a>}
        {topic && n.place?.mesh && may('topics.read') && <a class="button small" href={`/pipeline?topic=${encodeURIComponent(name)}`}>Pipeline</a>}
        {!topic && !n.place?.mesh && <><a class="button small" href={tracesOf(name, time)}>Traces</a><a class="button small" href={tracesOf(name, time, { errors: '1' })}>With errors</a></>}
        {!topic && n.place?.mesh && <p class="faint small">Its spans are in the traces of those that it worked for.</p>}
      </footer>
    </aside>
  )
}

function EdgeDrawer({ m, edge: e, time, choose, close }: { m: Measured; edge: GraphEdge; time: Time; choose: (key: string) => void; close: () => void }) {
  const place = isTopic(e.from) || isTopic(e.to) ? (isTopic(e.from) ? e.from : e.to) : null
  const service = isTopic(e.to) ? e.from : e.to
  return (
    <aside class="drawer" aria-label="Call">
      <header><span class="faint">{place ? 'message' : 'call'}</span><span class="space" /><button class="quiet" type="button" aria-label="Close" onClick={close}><Icon name="close" /></button></header>
      <h2 class="wrap"><button class="link" type="button" onClick={() => choose(keyOf(e.from))}>{e.from?.name}</button> → <button class="link" type="button" onClick={() => choose(keyOf(e.to))}>{e.to?.name}</button></h2>
      <Figures m={m} of={e.figures} />
      {e.dwell?.p50 && <dl class="pairs"><div><dt>Dwell p50 · p95</dt><dd>{ms(e.dwell.p50)} · {ms(e.dwell.p95)} <span class="faint">of {plural(e.dwell.count, 'message')}</span></dd></div><div><dt>Redelivered</dt><dd>{count(e.dwell.redelivered)}</dd></div></dl>}
      <p class="faint small">{told(m, e)}</p>
      <footer>
        {service && !service.mesh && <><a class="button small" href={tracesOf(service.name, time)}>Traces</a><a class="button small" href={tracesOf(service.name, time, { errors: '1' })}>With errors</a></>}
        {place && !place.mesh && <a class="button small" href={throughTopic(place.name, time)}>Through {clipped(place.name, 20)}</a>}
        {place?.mesh && may('topics.read') && <a class="button small" href={`/pipeline?topic=${encodeURIComponent(place.name)}`}>Pipeline</a>}
      </footer>
    </aside>
  )
}

function Ends({ title, m, edges, end, choose }: { title: string; m: Measured; edges: GraphEdge[]; end: 'from' | 'to'; choose: (key: string) => void }) {
  if (edges.length === 0) return null
  return (
    <section>
      <h3>{title}</h3>
      <ul class="ends">
        {edges.toSorted((a, b) => perSecond(m, b.figures?.calls) - perSecond(m, a.figures?.calls)).slice(0, 20).map((e) => (
          <li key={edgeKey(e)}><button class="link" type="button" title={told(m, e)} onClick={() => choose(edgeKey(e))}>{e[end]?.name}</button><span class="faint">{rate(m, e.figures?.calls)} · p95 {ms(e.figures?.p95)}</span></li>
        ))}
      </ul>
    </section>
  )
}

/** Dwells are how long messages waited for each that processes them: hatched to p95, a
 * line at p50. */
function Dwells({ edges }: { edges: GraphEdge[] }) {
  const top = Math.max(...edges.map((e) => millis(e.dwell?.p95)), 1e-9)
  return (
    <section>
      <h3>Dwell by who processes</h3>
      {edges.filter((e) => e.dwell?.p95).map((e) => (
        <div key={edgeKey(e)} class="dwell">
          <p><span class="name">{e.to?.name}</span><span class="faint">p50 {ms(e.dwell?.p50)} · p95 {ms(e.dwell?.p95)}</span></p>
          <div class="track-bar"><i class="wait" style={{ width: `${(100 * millis(e.dwell?.p95)) / top}%` }} /><i class="half" style={{ left: `${(100 * millis(e.dwell?.p50)) / top}%` }} /></div>
        </div>
      ))}
    </section>
  )
}

/** Series are spans, errors and p95 of a service over the time of the map. */
function Series({ service, time }: { service: string; time: Time }) {
  const step = (time.minutes * 60) / 30
  const series = useAsked(`series ${service} ${time.live ? 'now' : time.end} ${time.minutes}`, (signal) => {
    const { end } = time.live ? { end: Math.ceil(Date.now() / 60_000) * 60_000 } : time
    return post<MeasureServicesResponse>('/api/v1/services:measure', {
      services: [service], start_time: iso(end - time.minutes * 60_000 + step * 1000), end_time: iso(end), step: `${step}s`, window: `${step}s`, quantile: 0.95,
    }, signal)
  }, time.live ? 15_000 : 0)
  return (
    <Shown of={series} what="The series">
      {(v) => {
        const s = v.series[0]
        if (!s) return <p class="faint small">No span of it started in this time.</p>
        const calls = s.calls.map(Number)
        const lines: [string, number[], string][] = [
          ['Spans', calls, `${count(calls.reduce((a, b) => a + b, 0))} in all`],
          ['Errors', s.errors.map(Number), `${count(s.errors.reduce((n, e) => n + Number(e), 0))} in all`],
          ['p95', s.durations.map((d) => (Number.isFinite(Number(d)) ? Number(d) / 1e6 : 0)), `most ${took(Math.max(...s.durations.map((d) => (Number.isFinite(Number(d)) ? Number(d) / 1e6 : 0))))}`],
        ]
        return lines.map(([title, values, note]) => (
          <section key={title}><h3>{title} <span class="faint small">{note}</span></h3><Plot values={values} label={`${title} of ${service}, ${note}`} errors={title === 'Errors'} /></section>
        ))
      }}
    </Shown>
  )
}

function Plot({ values, label: words, errors }: { values: number[]; label: string; errors: boolean }) {
  const top = Math.max(...values, 1e-9)
  const point = (v: number, i: number) => `${((i * 300) / Math.max(1, values.length - 1)).toFixed(1)} ${(46 - (v / top) * 42).toFixed(1)}`
  const line = values.map(point).join(' L')
  return <svg class={errors ? 'plot errors' : 'plot'} viewBox="0 0 300 48" preserveAspectRatio="none" role="img" aria-label={words}><path class="soft" d={`M0 46 L${line} L300 46Z`} /><path class="line" d={`M${line}`} vector-effect="non-scaling-stroke" /></svg>
}
