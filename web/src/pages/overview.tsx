import { get, post } from '../api/client'
import type { Account, ListProfileStatusesResponse, ListServicesResponse, MeasureServicesResponse, Profile, ProfileStatus, Score } from '../api/types'
import { useAsked } from '../ask'
import { may } from '../session'
import { colorOf } from '../trace/colours'
import { Card, Empty, Shown, Status, Swatch } from '../ui/parts'
import { Spark } from '../ui/charts'
import { rangeOf, useQuery } from '../url'
import { ago, at, count, millis, number, percent, plural, took } from '../words'
import { AlertRow } from './alerts'
import { byRatio, Cell, profilePath, shape } from './model-parts'
import { First } from './first'
import { books } from '../ledger'
import { useLedger, useOpenAlerts, useRates, useTopics } from '../live'

export function Overview() {
  const alerts = useOpenAlerts()
  const ledger = useLedger()
  const models = useAsked('models', async (s) => (await get<ListProfileStatusesResponse>('/api/v1/profile-statuses', { page_size: 200, scores: 100 }, s)).statuses.sort((a, b) => b.moved - a.moved || titleOf(a).localeCompare(titleOf(b))), 15_000)
  const nothing = ledger.value?.accounts.every((a) => a.accepted === '0') && models.value?.length === 0
  if (nothing) return <First />
  return (
    <>
      <div class="headline">
        <h1>{headline(ledger.value?.accounts, models.value)}</h1>
        <span class="space" />
        {ledger.since > 0 && <span class="faint small">as of {at(ledger.since)}</span>}
      </div>
      <Figures accounts={ledger.value?.accounts} />
      <Card title="Models" note="each square a feature, those that moved first" tools={<Legend />}>
        <Shown of={models} what="Models">{(rows) => (rows.length === 0 ? <Empty>No profile yet. <code>driftmesh profile create --reference training.csv --space ml --name churn</code> makes one.</Empty> : <Matrix rows={rows} />)}</Shown>
      </Card>
      <div class="halves">
        <Services />
        <div class="column">
          <Card title="Open alerts" note={alerts.value ? count(alerts.value.alerts.length) : ''} tools={<a href="/alerts">All</a>}>
            <Shown of={alerts} what="Alerts">{(v) => (v.alerts.length === 0 ? <Empty>Nothing is open.</Empty> : v.alerts.slice(0, 5).map((a) => <AlertRow key={a.id} alert={a} />))}</Shown>
          </Card>
          {may('topics.read') && <Topics />}
        </div>
      </div>
    </>
  )
}

/** worst leaves of each feature the score that moved most, of whichever monitor. */
function worst(scores: Score[]): Score[] {
  const of = new Map<string, Score>()
  for (const s of scores.toSorted(byRatio)) if (!of.has(s.feature)) of.set(s.feature, s)
  return [...of.values()].sort((a, b) => byRatio(a, b) || Number(a.verdict === 'VERDICT_INSUFFICIENT') - Number(b.verdict === 'VERDICT_INSUFFICIENT'))
}

const titleOf = (s: ProfileStatus): string => (s.profile ? `${s.profile.space}/${s.profile.name}/${s.profile.version}` : '')

function headline(accounts: Account[] | undefined, models: ProfileStatus[] | undefined): string {
  if (!accounts || !models) return 'Overview'
  if (books(accounts) === 'missing') return 'The books do not balance: something that was accepted is missing.'
  const n = models.filter((m) => m.moved > 0).length
  if (n > 0) return `${n === 1 ? 'One model has' : `${count(n)} models have`} moved. Everything else holds.`
  return models.length > 0 ? 'Everything holds.' : 'The books balance. No model is watched yet.'
}

function Figures({ accounts }: { accounts: Account[] | undefined }) {
  const rates = Object.entries(useRates()).map(([signal, n]) => [signal, Math.round(n * 10) / 10] as const)
  if (!accounts) return null
  const sum = (of: (a: Account) => string) => accounts.reduce((n, a) => n + Number(of(a)), 0)
  const state = books(accounts)
  return (
    <section class="card figures" aria-label="Summary">
      <div>
        <span class="label">Ledger</span>
        <strong>{{ balanced: 'Balanced', settling: 'Settling', missing: `${count(sum((a) => a.missing_messages))} missing` }[state]}</strong>
        <span class="note">{count(sum((a) => a.accepted))} accepted, {{ balanced: 'every one accounted for', settling: 'some on the way', missing: 'some are lost' }[state]}</span>
      </div>
      <div>
        <span class="label">Arriving</span>
        <strong>{rates.length === 0 ? '–' : `${number(rates.reduce((sum, [, n]) => sum + n, 0))} /s`}</strong>
        <span class="note">{rates.length === 0 ? 'between two looks at the ledger' : rates.map(([signal, n]) => `${number(n)} ${signal}`).join(', ')}</span>
      </div>
      <div>
        <span class="label">On the way</span>
        <strong>{count(sum((a) => a.in_flight))}</strong>
        <span class="note">{plural(sum((a) => a.pending_messages), 'message')} with the broker</span>
      </div>
      <div>
        <span class="label">Refused</span>
        <strong>{count(accounts.reduce((n, a) => n + Object.values(a.rejected).reduce((m, v) => m + Number(v), 0), 0))}</strong>
        <span class="note">{reasons(accounts)}</span>
      </div>
      <div>
        <span class="label">Dead letters</span>
        <strong>{count(sum((a) => a.dead_lettered))}</strong>
        <span class="note"><a href="/pipeline">inspect</a></span>
      </div>
    </section>
  )
}

function reasons(accounts: Account[]): string {
  const all = new Map<string, number>()
  for (const a of accounts) for (const [reason, n] of Object.entries(a.rejected)) all.set(reason, (all.get(reason) ?? 0) + Number(n))
  const largest = [...all].sort((a, b) => b[1] - a[1])[0]
  return largest ? `most: ${largest[0]}, ${count(largest[1])}` : 'nothing'
}

function Legend() {
  return (
    <span class="legend" aria-hidden="true">
      <span><i class="cell s0" />as reference</span><span><i class="cell s2">{shape(2)}</i>over threshold</span><span><i class="cell s4">{shape(4)}</i>2.5×</span><span><i class="cell s5">{shape(5)}</i>4×</span><span><i class="cell hatched" />insufficient</span>
    </span>
  )
}

const most = 40 // squares in a line

function Matrix({ rows }: { rows: ProfileStatus[] }) {
  return (
    <table>
      <thead><tr><th>Profile</th><th>Verdict</th><th class="wide">Features</th><th class="wide">Moved most</th><th class="right wide">Open alerts</th><th class="right wide">Data</th><th class="right wide">Judged</th></tr></thead>
      <tbody>{rows.map((row) => row.profile && <Row key={row.profile.uid} row={row} profile={row.profile} />)}</tbody>
    </table>
  )
}

function Row({ row, profile }: { row: ProfileStatus; profile: Profile }) {
  const cells = worst(row.scores)
  const judged = row.moved + row.ok + row.insufficient
  const first = cells[0]
  return (
    <tr>
      <td class="name"><a class="plain" href={profilePath(profile)} title={titleOf(row)}>{titleOf(row)}</a></td>
      <td>{row.moved > 0 ? <Status kind="moved">{row.moved} of {judged}</Status> : judged === 0 ? <span class="faint">not judged yet</span> : row.ok === 0 ? <Status kind="insufficient">insufficient</Status> : <Status kind="ok">as reference</Status>}</td>
      <td class="wide"><span class="cells">{cells.slice(0, most).map((s) => <Cell key={s.feature} score={s} profile={profile} />)}{judged > row.scores.length || cells.length > most ? <a class="small" href={profilePath(profile)}>more</a> : null}</span></td>
      <td class="wide">{row.moved > 0 && first ? <a href={`${profilePath(profile)}?feature=${encodeURIComponent(first.feature)}`}>{first.feature}</a> : row.ok === 0 && first ? <span class="faint">{count(first.sample)} values, needs {count(first.min_sample)}</span> : '–'}</td>
      <td class="right wide">{row.open_alerts > 0 ? <a href={row.open_alerts === 1 ? `/alerts/${row.newest_alert}` : `/alerts?profile=${encodeURIComponent(titleOf(row))}`}>{count(row.open_alerts)}</a> : '–'}</td>
      <td class="right wide faint" title={at(row.data_time)}>{row.data_time ? `${ago(row.data_time)} ago` : 'none yet'}</td>
      <td class="right wide faint">{row.end_time ? at(row.end_time) : '–'}</td>
    </tr>
  )
}

interface Line { service: string; calls: number[]; errors: number[]; p95: number }

function Services() {
  const [query] = useQuery()
  const { start, end, minutes, name } = rangeOf(query)
  const step = Math.max(60, Math.ceil((minutes * 60) / 48 / 60) * 60)
  const services = useAsked(`services ${start} ${end}`, async (signal): Promise<{ lines: Line[]; sampled: number }> => {
    const { services } = await get<ListServicesResponse>('/api/v1/services', {}, signal)
    if (services.length === 0) return { lines: [], sampled: 1 }
    const { series, sampled } = await post<MeasureServicesResponse>('/api/v1/services:measure', {
      services: services.slice(0, 100), start_time: new Date(Date.parse(start) + step * 1000).toISOString(), end_time: end, step: `${step}s`, window: `${step}s`, quantile: 0.95, estimate: true,
    }, signal)
    const lines = series
      .map((s) => ({ service: s.service, calls: s.calls.map(Number), errors: s.errors.map(Number), p95: Number(s.duration) / 1e6 }))
      .sort((a, b) => share(b) - share(a) || total(b.calls) - total(a.calls))
    return { lines, sampled }
  }, 15_000, `services ${name}`)
  return (
    <Card title="Services" note={services.value ? `${count(services.value.lines.length)}, errors first${services.value.sampled > 1 ? `; estimates from one span in ${count(services.value.sampled)}` : ''}` : ''} tools={<a href="/traces">Traces</a>}>
      <Shown of={services} what="Services" rows={5}>
        {({ lines: rows }) => rows.length === 0 ? <Empty>No service sent a span in this time.</Empty> : (
          <table>
            <thead><tr><th>Service</th><th class="right">Calls</th><th class="wide" /><th class="right">Errors</th><th class="right">p95</th></tr></thead>
            <tbody>
              {rows.slice(0, 20).map((r, i) => (
                <tr key={r.service}>
                  <td class="name"><Swatch color={colorOf(i)} /><a class="plain" href={`/traces?service=${encodeURIComponent(r.service)}`} title={r.service}>{r.service}</a></td>
                  <td class="right">{count(total(r.calls))}</td>
                  <td class="wide"><Spark values={r.calls} label={`Calls of ${r.service} over time`} /></td>
                  <td class="right">{total(r.errors) > 0 ? <Status kind="error">{percent(share(r), 2)}</Status> : '0 %'}</td>
                  <td class="right">{took(r.p95)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

const total = (values: number[]): number => values.reduce((a, b) => a + b, 0)
const share = (r: Line): number => total(r.errors) / (total(r.calls) || 1)

function Topics() {
  const topics = useTopics()
  return (
    <Card title="Topics" tools={<a href="/pipeline">Pipeline</a>}>
      <Shown of={topics} what="Topics">
        {(v) => (
          <table class="dense">
            <thead><tr><th>Topic</th><th class="right">Waiting</th><th class="right">Oldest</th></tr></thead>
            <tbody>
              {v.topics.filter((t) => !t.dead_letters).flatMap((t) => t.groups.map((g) => (
                <tr key={`${t.name} ${g.group}`}>
                  <td>{t.name} <span class="faint">→ {g.group}</span></td>
                  <td class="right">{g.known ? count(g.total) : <span class="faint" title={g.problem}>not known</span>}</td>
                  <td class="right">{g.oldest_age ? took(millis(g.oldest_age)) : '–'}</td>
                </tr>
              )))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

