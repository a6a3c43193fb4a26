import { useState } from 'preact/hooks'
import { get, post } from '../api/client'
import type { Account, ListDeadLettersResponse, RedriveDeadLettersResponse } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { books } from '../ledger'
import { useLedger, useTopics } from '../live'
import { may } from '../session'
import { Card, Empty, Shown, Status } from '../ui/parts'
import { at, count, millis, plural, took } from '../words'

export function Pipeline() {
  return (
    <>
      {may('topics.read') && <Topics />}
      <Ledger />
      {may('dead-letters.read') && <DeadLetters />}
    </>
  )
}

function Topics() {
  const topics = useTopics()
  return (
    <Card title="Topics" note="who reads what, and how far behind">
      <Shown of={topics} what="Topics">
        {(v) => (
          <table>
            <thead><tr><th>Topic</th><th>Reader</th><th class="right">Waiting</th><th class="right">With workers</th><th class="right">Oldest unread</th></tr></thead>
            <tbody>
              {v.topics.flatMap((t) => t.groups.map((g) => (
                <tr key={`${t.name} ${g.group}`}>
                  <td>{t.name}{t.dead_letters && <span class="faint"> dead letters</span>}</td><td>{g.group}</td>
                  {g.known ? <><td class="right">{count(g.pending)}</td><td class="right">{count(g.in_flight)}</td><td class="right">{g.oldest_age ? took(millis(g.oldest_age)) : '–'}</td></> : <td class="right" colSpan={3}><Status kind="warning">{g.problem || 'not known'}</Status></td>}
                </tr>
              )))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

function Ledger() {
  const ledger = useLedger()
  return (
    <Card title="Ledger" note="what became of everything that was accepted">
      <Shown of={ledger} what="The ledger">{(v) => v.accounts.map((a) => <Equation key={a.signal} account={a} />)}</Shown>
    </Card>
  )
}

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
      {Object.keys(a.refused_requests).length > 0 && <p class="faint small">Turned away unread, so no part of it: {Object.entries(a.refused_requests).map(([limit, n]) => `${plural(n, 'request')} over ${limit}`).join(', ')}.</p>}
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
    <Card title="Dead letters" note="what could not be handled, and why"
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
    </Card>
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

