import { get } from '../api/client'
import type { Alert, ListAlertsResponse } from '../api/types'
import { useAsked } from '../ask'
import { Card, Empty, Segments, severity, Shown, Status } from '../ui/parts'
import { useQuery } from '../url'
import { ago, at, plural } from '../words'
import { evidence } from './model-parts'
import { Silences } from './silences'

export function Alerts() {
  const [query, set] = useQuery()
  const past = query.show === 'all'
  const alerts = useAsked(`alerts ${past}`, (s) => get<ListAlertsResponse>('/api/v1/alerts', { open_only: !past, page_size: 200 }, s), 10_000)
  return (
    <>
      <Card title={past ? 'Alerts' : 'Open alerts'} tools={<Segments label="Which" value={past ? 'all' : 'open'} of={[['open', 'Open'], ['all', 'Open and past']]} choose={(v) => set({ show: v === 'all' ? 'all' : '' }, true)} />}>
        <Shown of={alerts} what="Alerts">{(v) => (v.alerts.length === 0 ? <Empty>{past ? 'No alert yet.' : 'Nothing is open.'}</Empty> : v.alerts.map((a) => <AlertRow key={a.id} alert={a} />))}</Shown>
      </Card>
      <Silences />
    </>
  )
}

/** alertPath is where an alert is shown. */
const alertPath = (a: Alert): string => `/alerts/${encodeURIComponent(a.id)}?profile=${encodeURIComponent(a.profile)}`

export function finding(a: Alert): string {
  const names = a.moved.map((s) => s.feature).filter(Boolean)
  if (names.length === 0) return a.finding || `${a.profile_name} moved`
  const rest = a.moved_count - 1
  return `${a.profile_name} moved: ${names[0]}${rest > 0 ? ` and ${rest} more` : ''}`
}

export function AlertRow({ alert: a }: { alert: Alert }) {
  const first = a.moved[0]
  return (
    <a class="alert" href={alertPath(a)}>
      {a.resolve_time ? <Status kind="ok">closed</Status> : <Status kind="moved">drift</Status>}
      <span>
        <b>{finding(a)}</b>
        <span class="faint small">{first && evidence(first)} · {plural(a.exemplar_trace_ids.length, 'trace')}{a.occurrences > 1 && ` · found ${a.occurrences} times`}{a.acknowledge_time && ` · acknowledged by ${a.acknowledged_by}`}{a.silenced_by && ' · silenced'}</span>
      </span>
      <span class="faint right" title={at(a.raise_time)}>{ago(a.raise_time)}<br /><span class="small">{severity(a.severity)}</span></span>
    </a>
  )
}
