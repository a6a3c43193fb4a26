import { useState } from 'preact/hooks'
import { get, post } from '../api/client'
import type { AcknowledgeAlertResponse, Alert, BinScore, ExplainResponse, GetAlertResponse, ListDeliveriesResponse, SearchTracesResponse } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { may } from '../session'
import { Pair } from '../ui/charts'
import { Card, Empty, severity, Shown, Status, VerdictOf } from '../ui/parts'
import { useQuery } from '../url'
import { at, count, plural, took } from '../words'
import { Figure } from '../ui/figure'
import { finding } from './alerts'
import { binColumns, evidence, Slices } from './model-parts'
import { SilenceForm } from './silences'
import { TraceTable } from '../trace/table'

export function AlertPage({ id }: { id: string }) {
  const alert = useAsked(id, (s) => get<GetAlertResponse>(`/api/v1/alerts/${encodeURIComponent(id)}`, {}, s), 15_000)
  if (alert.failure?.status === 404 && !alert.value) {
    return (
      <Card title="There is no such alert">
        <Empty>Nobody of this tenant has an alert of the id {id.slice(0, 100)}. It may be of another tenant or space, or the address was cut short. <span><a class="button" href="/alerts?show=all">All alerts</a></span></Empty>
      </Card>
    )
  }
  return <Shown of={alert} what="This alert">{(v) => (v.alert ? <View alert={v.alert} again={alert.again} /> : <Empty>It is not there.</Empty>)}</Shown>
}

const modelPath = (a: Alert): string => `/models/${a.profile_name.split('/').map(encodeURIComponent).join('/')}`

function View({ alert: a, again }: { alert: Alert; again: () => void }) {
  const [query, set] = useQuery()
  const deed = useDeed()
  const score = a.moved.find((s) => s.feature === query.feature) ?? a.moved[0]
  return (
    <>
      <div class="headline">
        <h1>{finding(a)}</h1>
        <span class="space" />
        {deed.failure && <span class="note" role="alert">{deed.failure.message}</span>}
        {!a.acknowledge_time && !a.resolve_time && may('alerts.acknowledge') && <button class="button primary" type="button" disabled={deed.busy} onClick={() => deed.run(() => post<AcknowledgeAlertResponse>(`/api/v1/alerts/${encodeURIComponent(a.id)}:acknowledge`), again)}>Acknowledge</button>}
        {!a.resolve_time && may('alerts.silence') && <SilenceForm alert={a} done={again} />}
        <a class="button" href={`${modelPath(a)}${score ? `?feature=${encodeURIComponent(score.feature)}` : ''}`}>Model</a>
        {may('scores.compute') && <a class="button" href={`${modelPath(a)}/backtest?monitor=${encodeURIComponent(a.monitor)}`}>Backtest</a>}
      </div>
      <p class="faint small">
        {a.resolve_time ? <Status kind="ok">closed {at(a.resolve_time)}</Status> : <Status kind="moved">open for {took(Date.now() - Date.parse(a.raise_time ?? ''))}</Status>} · {severity(a.severity)} · monitor {a.monitor} · values of {at(a.range_start)} to {at(a.range_end)}
        {a.acknowledge_time && <> · acknowledged by {a.acknowledged_by} {at(a.acknowledge_time)}</>}{a.resolve_reason && <> · {a.resolve_reason}</>}
      </p>
      <Card title="What moved" note={`${count(a.moved_count)}, those that moved most first`}>
        <table>
          <thead><tr><th>Feature</th><th>Verdict</th><th>Why</th></tr></thead>
          <tbody>{a.moved.map((s) => <tr key={`${s.monitor} ${s.feature}`} class={s === score ? 'selected' : undefined}><td class="name"><button class="link" type="button" onClick={() => set({ feature: s.feature })}>{s.feature || '(all)'}</button></td><td><VerdictOf verdict={s.verdict} /></td><td class="faint">{evidence(s)}</td></tr>)}</tbody>
        </table>
      </Card>
      <Card title="The traces that moved it" note="spans of the records in the bins that moved most">
        {a.exemplar_trace_ids.length === 0 ? <Empty>The records came without a trace. A producer that sends its trace context with them gets links here.</Empty> : (
          <Exemplars alert={a} />
        )}
      </Card>
      {score && <Why alert={a} feature={score.feature} />}
      <History alert={a} />
    </>
  )
}

/** Exemplars are the traces as search shows them; what it does not find any more is
 * named all the same. */
function Exemplars({ alert: a }: { alert: Alert }) {
  const traces = useAsked(`exemplars ${a.id}`, (s) => post<SearchTracesResponse>('/api/v1/traces:search', { query: { trace_ids: a.exemplar_trace_ids, start_time: '1970-01-01T00:00:00Z' }, page_size: 100 }, s))
  const found = new Set(traces.value?.traces.map((t) => t.trace_id))
  const gone = a.exemplar_trace_ids.filter((id) => !found.has(id))
  return (
    <Shown of={traces} what="The traces">
      {(v) => (
        <>
          <TraceTable traces={v.traces} />
          {v.traces[0] && <p class="note"><a href={`/compare?b=${v.traces[0].trace_id}`}>Compare the first with one that it is like</a></p>}
          {gone.length > 0 && <p class="note">Not kept any more: {gone.map((id) => <a key={id} href={`/traces/${id}`}><code>{id.slice(0, 8)}</code> </a>)}</p>}
        </>
      )}
    </Shown>
  )
}

/** Why shows the distribution that moved, and in which slices of the data it did. */
function Why({ alert, feature }: { alert: Alert; feature: string }) {
  const [chosen, choose] = useState(-1)
  const why = useAsked(`${alert.id} ${feature}`, (s) => get<ExplainResponse>('/api/v1/explanations', { alert: alert.id, feature }, s))
  return (
    <Card title={`Why ${feature}`} note="reference and current, and the slices that carry the shift">
      <div class="body column">
        <Shown of={why} what="The explanation">
          {(v) => {
            const bins = v.scores.find((s) => s.feature === feature && s.bins.length > 0)?.bins ?? v.cells
            return (
              <>
                {bins.length > 0 && (
                  <Figure title="Reference and current" name={`${feature} bins`} columns={binColumns} rows={bins}>
                    {(cursor) => <Pair bins={bins} chosen={chosen} cursor={cursor} choose={(i) => choose(i === chosen ? -1 : i)} title={`Shares of ${feature} in reference and current`} />}
                  </Figure>
                )}
                <Sides bins={bins[chosen] ? [bins[chosen]] : bins} />
                {v.slices.length > 0 && <Slices slices={v.slices} />}
              </>
            )
          }}
        </Shown>
      </div>
    </Card>
  )
}

/** Sides has traces of bins that hold more than the reference says beside traces of the
 * others, the most telling first. */
function Sides({ bins }: { bins: BinScore[] }) {
  const side = (more: boolean) => bins.filter((b) => b.observed > b.expected === more).toSorted((a, b) => b.contribution - a.contribution).flatMap((b) => b.exemplars.filter((e) => e.trace_id).map((e) => ({ ...e, label: b.label }))).slice(0, 8)
  return (
    <div class="sides">
      {([['Moved it', side(true)], ['Like the reference', side(false)]] as const).map(([title, traces]) => (
        <section key={title} aria-label={title}>
          <h3>{title}</h3>
          {traces.length === 0 ? <p class="faint small">No record of this time that has a trace is there.</p> : <ul>{traces.map((e) => <li key={`${e.record_id} ${e.label}`}><a href={`/traces/${e.trace_id}?span=${e.span_id}`}>trace <code>{e.trace_id.slice(0, 8)}</code></a> <span class="faint small">{e.label}</span></li>)}</ul>}
        </section>
      ))}
    </div>
  )
}

/** History is who was told what of the alert. */
function History({ alert }: { alert: Alert }) {
  const told = useAsked(`told ${alert.id}`, (s) => get<ListDeliveriesResponse>('/api/v1/deliveries', { alert: alert.id, page_size: 50 }, s), 15_000)
  return (
    <Card title="History" note={`raised ${at(alert.raise_time)}, found by ${plural(alert.occurrences, 'evaluation')}`}>
      <Shown of={told} what="The history">
        {(v) => v.deliveries.length === 0 ? <Empty>Nobody was told yet.</Empty> : (
          <table class="dense">
            <thead><tr><th>Time</th><th>News</th><th>Route</th><th>State</th><th class="right wide">Attempts</th></tr></thead>
            <tbody>{v.deliveries.map((d) => <tr key={d.id}><td>{at(d.settle_time ?? d.create_time)}</td><td>{d.change}</td><td class="name">{d.route}</td><td>{d.state === 'DELIVERY_STATE_FAILED' ? <Status kind="error" title={d.error}>failed</Status> : d.state.replace('DELIVERY_STATE_', '').toLowerCase()}</td><td class="right wide">{count(d.attempts)}</td></tr>)}</tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}
