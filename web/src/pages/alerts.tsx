import { get } from '../api/client'
import type { Alert, ListAlertsResponse } from '../api/types'
import { useAsked } from '../ask'
import { Figure } from '../ui/figure'
import { Card, Empty, Segments, severity, Shown, Status } from '../ui/parts'
import { useQuery } from '../url'
import { ago, at, count, plural, took } from '../words'
import { evidence } from './model-parts'
import { Silences } from './silences'

const size = 50

export function Alerts() {
  const [query, set] = useQuery()
  const past = query.show === 'all'
  const alerts = useAsked(`alerts ${past} ${query.after} ${query.profile}`, (s) => get<ListAlertsResponse>('/api/v1/alerts', { open_only: !past, page_size: size, page_token: query.after, profile: query.profile }, s), 10_000)
  return (
    <>
      <Card title={past ? 'Alerts' : 'Open alerts'} note={query.profile && <>of {query.profile} <button class="link" type="button" onClick={() => set({ profile: '', after: '' })}>of all</button></>} tools={
        <>
          <Segments label="Group by" value={(query.group ?? 'profile') as 'profile' | 'cause' | 'time'} of={[['profile', 'By profile'], ['cause', 'By cause'], ['time', 'By time']]} choose={(v) => set({ group: v === 'profile' ? '' : v })} />
          <Segments label="Which" value={past ? 'all' : 'open'} of={[['open', 'Open'], ['all', 'Open and past']]} choose={(v) => set({ show: v === 'all' ? 'all' : '', after: '' }, true)} />
        </>
      }>
        <Shown of={alerts} what="Alerts">
          {(v) => v.alerts.length === 0 ? <Empty>{query.after ? 'There is none before these.' : past ? 'No alert yet.' : 'Nothing is open.'}</Empty> : (
            <>
              <Timeline alerts={v.alerts} />
              {groups(v.alerts, query.group ?? 'profile').map(([name, of]) => (
                <section key={name} aria-label={name}>
                  {name && <h3 class="group">{name} <span class="faint">{plural(of.length, 'alert')}{of.some((a) => !a.resolve_time) && `, ${count(of.filter((a) => !a.resolve_time).length)} open`}</span></h3>}
                  {of.map((a) => <AlertRow key={a.id} alert={a} />)}
                </section>
              ))}
            </>
          )}
        </Shown>
        {(query.after || alerts.value?.next_page_token) && (
          <p class="note tools">
            {query.after && <button class="button small" type="button" onClick={() => set({ after: '' })}>Newest</button>}
            {alerts.value?.next_page_token && <button class="button small" type="button" onClick={() => set({ after: alerts.value?.next_page_token ?? '' }, true)}>Older</button>}
          </p>
        )}
      </Card>
      <Silences />
    </>
  )
}

const cause = (a: Alert): string => a.moved[0]?.feature || a.finding || a.monitor

/** groups are in the order of their newest alert. */
function groups(alerts: Alert[], by: string): [string, Alert[]][] {
  const all = new Map<string, Alert[]>()
  for (const a of alerts) {
    const key = by === 'profile' ? a.profile_name : by === 'cause' ? cause(a) : ''
    all.set(key, [...(all.get(key) ?? []), a])
  }
  return [...all]
}

/** Timeline draws each alert from when it was raised to when it was closed, or to now. */
function Timeline({ alerts }: { alerts: Alert[] }) {
  const now = Date.now()
  const begin = (a: Alert) => Date.parse(a.raise_time ?? '')
  const end = (a: Alert) => (a.resolve_time ? Date.parse(a.resolve_time) : now)
  const order = alerts.toSorted((a, b) => begin(a) - begin(b))
  const from = Math.min(...order.map(begin))
  const x = (t: number) => 8 + ((t - from) / Math.max(1, now - from)) * 840
  const lanes: number[] = [] // when each is free again, so that alerts of one time lie below each other
  const laid = order.map((a) => {
    const free = lanes.findIndex((t) => t <= begin(a))
    const lane = Math.min(free < 0 ? lanes.length : free, 11)
    lanes[lane] = end(a) + (now - from) / 100
    return lane
  })
  const h = Math.max(1, lanes.length) * 14
  return (
    <div class="body column">
      <Figure title="Timeline" name="alerts" rows={order} note={<><span><i class="swatch open" />open</span><span><i class="swatch closed" />closed</span></>} columns={[
        { head: 'Raised', of: (a) => a.raise_time, show: (a) => at(a.raise_time), text: true },
        { head: 'Closed', of: (a) => a.resolve_time, show: (a) => (a.resolve_time ? at(a.resolve_time) : 'open'), text: true },
        { head: 'Lasted', of: (a) => Math.round((end(a) - begin(a)) / 1000), show: (a) => took(end(a) - begin(a)) },
        { head: 'Profile', of: (a) => a.profile_name, text: true },
        { head: 'Monitor', of: (a) => a.monitor, text: true },
        { head: 'Cause', of: cause, text: true },
      ]}>
        {(cursor) => (
          <svg class="chart" viewBox={`0 0 856 ${h + 20}`} role="img" aria-label={`${plural(order.length, 'alert')} since ${at(from)}`}>
            {order.map((a, i) => (
              <g key={a.id}>
                <title>{`${finding(a)}: ${at(a.raise_time)} to ${a.resolve_time ? at(a.resolve_time) : 'now'}`}</title>
                <rect class={`span ${a.resolve_time ? 'closed' : 'open'}${i === cursor ? ' on' : ''}`} x={x(begin(a))} y={(laid[i] ?? 0) * 14 + 2} width={Math.max(4, x(end(a)) - x(begin(a)))} height={9} rx="2" />
              </g>
            ))}
            <text x="8" y={h + 16}>{at(from)}</text>
            <text x="848" y={h + 16} text-anchor="end">now</text>
          </svg>
        )}
      </Figure>
    </div>
  )
}

/** alertPath is where an alert is shown. */
const alertPath = (a: Alert): string => `/alerts/${encodeURIComponent(a.id)}`

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
