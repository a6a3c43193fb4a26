import { get, post, remove } from '../api/client'
import type { Alert, CreateSilenceResponse, ListSilencesResponse, Silence } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { may } from '../session'
import { Card, Empty, Shown } from '../ui/parts'
import { at } from '../words'

const hours = [['1', '1 hour'], ['8', '8 hours'], ['24', '24 hours'], ['168', '7 days']] as const

/** SilenceForm keeps a monitor of a profile quiet for a while: it is still judged, and
 * still alerts, but nobody is called. */
export function SilenceForm({ alert: a, done }: { alert: Alert; done: () => void }) {
  const deed = useDeed()
  const [space, profile] = a.profile_name.split('/')
  const send = (e: SubmitEvent) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    const end_time = new Date(Date.now() + Number(form.get('hours')) * 3_600_000).toISOString()
    deed.run(() => post<CreateSilenceResponse>('/api/v1/silences', { space, profile, monitor: a.monitor, end_time, reason: form.get('reason') }), done)
  }
  return (
    <details class="drop">
      <summary class="button">Silence</summary>
      <form class="card filters" onSubmit={send}>
        <p class="note">{space}/{profile}, monitor {a.monitor}: it is judged as before, and nobody is called.</p>
        <label>For<select name="hours">{hours.map(([h, word]) => <option key={h} value={h}>{word}</option>)}</select></label>
        <label class="grow">Why<input name="reason" required maxLength={500} /></label>
        <button class="button primary" type="submit" disabled={deed.busy}>Silence</button>
        {deed.failure && <p class="note wrong" role="alert">{deed.failure.message}</p>}
      </form>
    </details>
  )
}

const whole = (pattern: string): string => pattern || '*'

/** Silences are those that hold, and can be ended. */
export function Silences() {
  const silences = useAsked('silences', (s) => get<ListSilencesResponse>('/api/v1/silences', {}, s), 15_000)
  const deed = useDeed()
  const expire = (s: Silence) => deed.run(() => remove(`/api/v1/silences/${encodeURIComponent(s.id)}`), silences.again)
  return (
    <Card title="Silences" note="judged as ever, and nobody is called">
      {deed.failure && <p class="note" role="alert">{deed.failure.message}</p>}
      <Shown of={silences} what="Silences">
        {(v) => v.silences.length === 0 ? <Empty>None holds.</Empty> : (
          <table>
            <thead><tr><th>Profile</th><th>Monitor</th><th class="wide">Why</th><th>Until</th><th class="wide">By</th><th /></tr></thead>
            <tbody>
              {v.silences.map((s) => (
                <tr key={s.id}>
                  <td class="name">{whole(s.space)}/{whole(s.profile)}</td><td>{whole(s.monitor)}</td><td class="wide name" title={s.reason}>{s.reason}</td><td class="faint">{at(s.end_time)}</td><td class="wide faint">{s.created_by}</td>
                  <td class="right">{may('alerts.silence') && <button class="button small" type="button" disabled={deed.busy} onClick={() => expire(s)}>End</button>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}
