import { useEffect, useRef, useState } from 'preact/hooks'
import { get, post } from '../api/client'
import type { Account, GetServiceGraphResponse, ListDeadLettersResponse, RedriveDeadLettersResponse, Topic } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { behind, LagLine } from '../lag'
import { books } from '../ledger'
import { useLedger, useRates, useTopics } from '../live'
import { may, session } from '../session'
import { Card, Empty, Shown, Status } from '../ui/parts'
import { useQuery } from '../url'
import { at, count, millis, number, percent, plural, took } from '../words'

export function Pipeline() {
  return (
    <>
      <div class="headline"><h1>Pipeline</h1><span class="space" />{may('tail.read') && <a class="button" href="/tail">Live tail</a>}</div>
      <Ledger />
      {may('topics.read') && <Topics />}
      {may('dead-letters.read') && <DeadLetters />}
    </>
  )
}

function Topics() {
  const topics = useTopics()
  const [query] = useQuery()
  const rates = useRates()
  const hops = useAsked('hops', async (s) => (may('traces.read') ? get<GetServiceGraphResponse>('/api/v1/service-graph', { with_mesh: true }, s) : null), 30_000)
  const letters = useAsked('letters by topic', async (s) => (may('dead-letters.read') ? get<ListDeadLettersResponse>('/api/v1/dead-letters', { page_size: 1000 }, s) : null), 30_000)
  const dwells = new Map((hops.value?.nodes ?? []).filter((n) => n.place?.kind === 'NODE_KIND_TOPIC' && n.place.mesh).map((n) => [n.place?.name, n.dwell]))
  const slowest = Math.max(...[...dwells.values()].map((d) => millis(d?.p95)), 1e-9)
  const parked = (topic: string) => (letters.value?.dead_letters ?? []).filter((l) => l.topic === topic).length
  const chosen = useRef<HTMLTableRowElement>(null)
  const there = topics.value !== undefined
  useEffect(() => chosen.current?.scrollIntoView({ block: 'center' }), [there, query.topic])
  return (
    <Card title="Topics" note="who reads what, and how far behind" tools={<span class="legend" aria-hidden="true"><span><i class="swatch wait" />dwell to p95</span><span><i class="half-mark" />p50</span></span>}>
      <Shown of={topics} what="Topics">
        {(v) => (
          <div class="sideways" tabIndex={0} role="region" aria-label="Table of topics">
            <table class="topics">
              <thead><tr><th>Topic → reader</th><th class="right wide" title="Spans and records that the ledger took in while this page looked, a second; of other topics nobody counts">In</th><th class="right">Waiting</th><th class="right wide">With workers</th><th class="right">Oldest</th><th class="wide" title="The lag, of all who read the topic, as this page saw it">Lag {sinceLooked(v.topics)}</th><th class="wide">Dwell, last hour</th><th class="right wide">p50 / p95</th><th class="right wide">Redelivered</th><th class="right">Parked</th></tr></thead>
              <tbody>
                {v.topics.filter((t) => !t.dead_letters || t.groups.some((g) => g.total !== '0')).flatMap((t) => t.groups.map((g, i) => {
                  const dwell = i === 0 ? dwells.get(t.name) : undefined
                  const first = i === 0 && query.topic === t.name
                  return (
                    <tr key={`${t.name} ${g.group}`} id={i === 0 ? `topic-${t.name}` : undefined} ref={first ? chosen : undefined} class={query.topic === t.name ? 'selected' : undefined} aria-current={first ? 'true' : undefined}>
                      <td><b>{t.name}</b>{t.dead_letters && <span class="faint"> dead letters</span>} <span class="faint">→ {g.group}</span></td>
                      <td class="right wide">{i === 0 && rates[t.name] !== undefined ? `${number(Math.round((rates[t.name] ?? 0) * 10) / 10)} /s` : <span class="faint">–</span>}</td>
                      {g.known ? <><td class="right">{count(g.pending)}</td><td class="right wide">{count(g.in_flight)}</td><td class="right">{g.oldest_age ? took(millis(g.oldest_age)) : '–'}</td></> : <td class="right" colSpan={3}><Status kind="warning">{g.problem || 'not known'}</Status></td>}
                      <td class="wide">{i === 0 ? <LagLine points={behind(t.name)} topic={t.name} /> : <span class="faint">–</span>}</td>
                      <td class="wide">{dwell?.p95 ? <span class="track-bar"><i class="wait" style={{ width: `${(100 * millis(dwell.p95)) / slowest}%` }} /><i class="half" style={{ left: `${(100 * millis(dwell.p50)) / slowest}%` }} /></span> : <span class="faint">none traced</span>}</td>
                      <td class="right wide">{dwell?.p95 ? `${took(millis(dwell.p50))} / ${took(millis(dwell.p95))}` : '–'}</td>
                      <td class="right wide" title={dwell ? `of ${plural(dwell.count, 'message')} that were traced` : undefined}>{dwell ? dwell.redelivered === '0' ? '0' : <Status kind="warning">{count(dwell.redelivered)}</Status> : '–'}</td>
                      <td class="right">{i > 0 || !letters.value ? '–' : parked(t.name) > 0 ? <a href="#dead-letters">{count(parked(t.name))}{letters.value.next_page_token && '+'}</a> : 0}</td>
                    </tr>
                  )
                }))}
              </tbody>
            </table>
          </div>
        )}
      </Shown>
      <details class="glossary">
        <summary>What the columns mean</summary>
        <dl>
          <div><dt>In</dt><dd>Spans or records that this tenant’s ledger accepted a second while this page looked. The broker counts none for other topics.</dd></div>
          <div><dt>Waiting, with workers</dt><dd>Messages of all tenants that no worker has yet, and that are with one and not acknowledged. Together they are the lag.</dd></div>
          <div><dt>Lag since</dt><dd>The lag of all readers of the topic, as often as this page asked for it: nobody keeps it, so that it begins when the page was opened, and has gaps where no screen of it looked. The line ends now, and is as high as the most; the map has it larger, with a table.</dd></div>
          <div><dt>Oldest</dt><dd>Age of the oldest message that is not acknowledged.</dd></div>
          <div><dt>Dwell</dt><dd>How long messages lay in the topic, by the hops that the mesh traced for this tenant in the last hour; not each message is traced.</dd></div>
          <div><dt>Redelivered</dt><dd>Of those traced, how many had been delivered before.</dd></div>
          <div><dt>Parked</dt><dd>Dead letters of the topic.</dd></div>
        </dl>
      </details>
    </Card>
  )
}

/** sinceLooked says from when on lags are kept. */
function sinceLooked(topics: Topic[]): string {
  const first = topics.map((t) => behind(t.name)).find((p) => p.length > 0)
  return first ? `since ${at(first[0]?.at)}` : ''
}

function Ledger() {
  const ledger = useLedger()
  return (
    <Card title="Ledger" note={`${session.value?.tenant ?? ''}: what became of everything that was accepted`}>
      <Shown of={ledger} what="The ledger">{(v) => v.accounts.map((a) => <Equation key={a.signal} account={a} />)}</Shown>
      <details class="glossary">
        <summary>What the cells mean</summary>
        <dl>{glossary.map(([what, means]) => <div key={what}><dt>{what}</dt><dd>{means}</dd></div>)}</dl>
      </details>
    </Card>
  )
}

const glossary = [
  ['accepted', 'What the gateway said yes to: the broker has it, and it is one of the other cells until the end of time.'],
  ['stored', 'What the store has, each once.'],
  ['duplicate', 'What came again, because it was sent or delivered more than once, and is stored already.'],
  ['rejected', 'What a worker looked at and refused, by reason; the largest stands here.'],
  ['sampled', 'What a sampling policy dropped on purpose.'],
  ['dead letters', 'What could not be handled and is parked, to be looked at and sent again below.'],
  ['in flight', 'What is with the broker or with a worker now.'],
  ['missing', 'What none of these has. More than 0 for more than a moment is a loss, and a bug.'],
  ['turned away', 'Requests over a limit, of which nothing was read: they were never accepted, and their senders were told to try again.'],
] as const

/** Equation is the sum of an account, written out. */
function Equation({ account: a }: { account: Account }) {
  const rejected = Object.values(a.rejected).reduce((n, v) => n + BigInt(v), 0n)
  const terms: [string, string, string][] = [
    ['stored', a.stored, ''], ['duplicate', a.duplicate, 'sent again, kept once'], ['rejected', rejected.toString(), largest(a.rejected)],
    ['sampled', a.sampled, ''], ['dead letters', a.dead_lettered, largest(a.dead_lettered_reasons)], ['in flight', a.in_flight, `${plural(a.pending_messages, 'message')} with the broker`],
    ['missing', a.missing, ''],
  ]
  return (
    <div class="equation">
      <h3>{a.signal} {{ balanced: <Status kind="ok">balanced</Status>, settling: <span class="faint">settling</span>, missing: <Status kind="error">missing {plural(a.missing_messages, 'message')}</Status> }[books([a])]}</h3>
      <p>
        <span><b>{count(a.accepted)}</b><i>accepted</i></span>
        {terms.map(([what, n, why], i) => <span key={what} class={n === '0' ? 'nil' : undefined}><em>{i === 0 ? '=' : '+'}</em><b>{count(n)}</b><i title={why}>{what}{why && n !== '0' && `: ${why}`}</i></span>)}
      </p>
      <Bar account={a} rejected={rejected} />
      {Object.keys(a.refused_requests).length > 0 && <p class="faint small">Turned away unread, so no part of it: {Object.entries(a.refused_requests).map(([limit, n]) => `${plural(n, 'request')} over ${limit}`).join(', ')}.</p>}
    </div>
  )
}

/** Bar is what is stored, and the small rest beside it on a scale that says so. */
function Bar({ account: a, rejected }: { account: Account; rejected: bigint }) {
  const all = Number(a.accepted)
  if (all === 0) return null
  const stored = Math.min(1, Number(a.stored) / all) // while it settles, more may be stored than was counted as accepted
  const parts: [string, string, number][] = [['duplicate', 'duplicate', Number(a.duplicate)], ['rejected', 'rejected', Number(rejected)], ['sampled', 'sampled', Number(a.sampled)], ['dead letters', 'dead', Number(a.dead_lettered)], ['in flight', 'wait', Number(a.in_flight)], ['missing', 'gone', Number(a.missing)]]
  const rest = parts.filter(([, , n]) => n > 0)
  const log = (n: number) => Math.log10(n + 1)
  const sum = rest.reduce((n, [, , v]) => n + log(v), 0)
  return (
    <div class="ledger-bar" role="img" aria-label={`stored ${percent(stored, 2)}${rest.map(([what, , n]) => `, ${what} ${count(n)}`).join('')}`}>
      <div class="whole"><i style={{ width: `${100 * stored}%` }} /></div>
      {rest.length > 0 && <div class="rest">{rest.map(([what, kind, n]) => <i key={what} class={kind} title={`${what} ${count(n)}`} style={{ width: `${(100 * log(n)) / sum}%` }} />)}</div>}
      <p class="faint tiny"><span>stored, {percent(stored, 2)}</span>{rest.length > 0 && <span>the other {percent(1 - stored, 2)}, log scale</span>}</p>
    </div>
  )
}

function largest(by: Record<string, string>): string {
  const [reason] = Object.entries(by).sort((a, b) => Number(b[1]) - Number(a[1]))
  return reason ? reason[0] : ''
}

function DeadLetters() {
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set())
  const [said, say] = useState('')
  const letters = useAsked('dead letters', (s) => get<ListDeadLettersResponse>('/api/v1/dead-letters', { page_size: 200 }, s), 10_000)
  const deed = useDeed()
  const redrive = (ids: string[]) => deed.run(() => post<RedriveDeadLettersResponse>('/api/v1/dead-letters:redrive', { ids }), ({ results }) => {
    say(outcome(results))
    choose(new Set())
    letters.again()
  })
  const rows = letters.value?.dead_letters ?? []
  return (
    <div id="dead-letters"><Card title="Dead letters" note="what could not be handled, and why"
      tools={may('dead-letters.redrive') && rows.length > 0 && <button class="button small" type="button" disabled={deed.busy || chosen.size === 0} onClick={() => redrive([...chosen])}>Redrive {chosen.size > 0 ? count(chosen.size) : ''}</button>}>
      {(deed.failure || said) && <p class="note" role="status">{deed.failure?.message ?? said}</p>}
      <Shown of={letters} what="Dead letters">
        {() => rows.length === 0 ? <Empty>Nothing is parked.</Empty> : (
          <table>
            <thead><tr>{may('dead-letters.redrive') && <th><input type="checkbox" aria-label="All" checked={chosen.size === rows.length} onChange={(e) => choose(e.currentTarget.checked ? new Set(rows.map((r) => r.id)) : new Set())} /></th>}<th>Parked</th><th>Topic</th><th>Reason</th><th class="wide">Error</th><th class="right wide">Items</th></tr></thead>
            <tbody>
              {rows.map((l) => (
                <tr key={l.id}>
                  {may('dead-letters.redrive') && <td><input type="checkbox" aria-label={`Choose ${l.id}`} checked={chosen.has(l.id)} onChange={() => { const next = new Set(chosen); if (!next.delete(l.id)) next.add(l.id); choose(next) }} /></td>}
                  <td><a href={`/pipeline/dead-letters/${encodeURIComponent(l.id)}`}>{at(l.dead_time)}</a></td><td>{l.topic}</td><td>{l.reason}</td><td class="wide name" title={l.error}>{l.error}</td><td class="right wide">{count(l.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card></div>
  )
}

/** outcome says what became of letters that were sent again. */
export function outcome(results: RedriveDeadLettersResponse['results']): string {
  const by = new Map<string, number>()
  for (const r of results) {
    const what = r.outcome.replace('REDRIVE_OUTCOME_', '').replaceAll('_', ' ').toLowerCase() + (r.message ? `: ${r.message}` : '')
    by.set(what, (by.get(what) ?? 0) + 1)
  }
  return [...by].map(([what, n]) => `${count(n)} ${what}`).join('; ')
}

