// What a profile would have done if it were another: tried on stored records, drawn, and
// only then saved.
import { useEffect, useRef, useState } from 'preact/hooks'
import { Failure, get, post, stream } from '../api/client'
import type { BacktestChange, BacktestResponse, BacktestSlot, BacktestSummary, CreateProfileResponse, GetProfileResponse, Monitor, Profile, Progress, Score, Threshold } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { may } from '../session'
import { OverTime, type Moment } from '../ui/charts'
import { Figure } from '../ui/figure'
import { Card, Empty, Shown, Status } from '../ui/parts'
import { Typed } from '../typed'
import { rangeOf, useQuery } from '../url'
import { at, count, number, plural } from '../words'
import { design, profilePath, ratio } from './model-parts'

export function Backtest({ space, name, version }: { space: string; name: string; version: string }) {
  const full = [space, name, version].join('/')
  const profile = useAsked(full, (s) => get<GetProfileResponse>(`/api/v1/profiles/${encodeURIComponent(full)}`, {}, s))
  return <Shown of={profile} what="This profile">{(v) => (v.profile ? <View profile={v.profile} /> : <Empty>It is not there.</Empty>)}</Shown>
}

/** Tried is what a backtest told so far. */
interface Tried { slots: BacktestSlot[]; changes: BacktestChange[]; summary: BacktestSummary | null }

interface Result { before: Tried; after: Tried; candidate: Profile; cron: string }

/** parts are what one changes of a profile: what it compares stays. */
const parts = (p: Profile) => ({ schedule: p.schedule, correction: p.correction, monitors: p.monitors })

function View({ profile }: { profile: Profile }) {
  const [query] = useQuery()
  const { start, end } = rangeOf(query)
  const [text, write] = useState(() => JSON.stringify(parts(profile), null, 1))
  const [result, keep] = useState<Result | null>(null)
  const [progress, tell] = useState<{ of: string; at: Progress } | null>(null)
  const [failure, fail] = useState<{ message: string; reason: string } | null>(null)
  const running = useRef<AbortController | null>(null)
  useEffect(() => () => running.current?.abort(), [])
  const edited = read(text)
  const candidate = 'parts' in edited ? { ...profile, ...edited.parts, uid: '', version: '', create_time: null } : null
  const run = async () => {
    if (!candidate || running.current) return
    const stop = new AbortController()
    running.current = stop
    fail(null)
    keep(null)
    const range = { profile: profile.uid, start_time: start, end_time: end, scores: true }
    try {
      const after = await replay('the change', { ...range, candidate }, tell, stop.signal)
      let before = await replay('what there is', range, tell, stop.signal)
      let cron = ''
      if (before.slots.length === 0 && after.slots.length > 0) { // its own schedule has no slot there
        cron = candidate.schedule?.cron ?? ''
        before = await replay('what there is', { ...range, candidate: { ...profile, schedule: candidate.schedule } }, tell, stop.signal)
      }
      keep({ before, after, candidate, cron })
    } catch (err) {
      if (!stop.signal.aborted) fail(err instanceof Failure ? { message: err.message, reason: err.reason || err.code } : { message: String(err), reason: '' })
    }
    tell(null)
    running.current = null
  }
  return (
    <>
      <div class="headline">
        <h1>{result ? verdict(result) : `Backtest of ${profile.space}/${profile.name}/${profile.version}`}</h1>
        <span class="space" />
        <a class="button" href={profilePath(profile)}>Model</a>
      </div>
      <div class="halves even">
        <Card title="Change" note="nothing is stored until it is saved">
          <div class="body column">
            {'parts' in edited && <Quick monitors={edited.parts.monitors ?? []} schedule={edited.parts.schedule} set={(next) => write(JSON.stringify({ ...edited.parts, ...next }, null, 1))} />}
            <label>Schedule, correction and monitors, as JSON
              <textarea class="mono" rows={18} spellcheck={false} value={text} onInput={(e) => write(e.currentTarget.value)} aria-invalid={'problem' in edited || !!failure} aria-describedby="wrong" />
            </label>
            <div id="wrong" aria-live="polite">
              {'problem' in edited && <p class="bad small">{edited.problem}</p>}
              {failure && <p class="bad small" role="alert">{failure.message} <code class="faint">{failure.reason}</code></p>}
            </div>
            <div class="tools">
              {may('scores.compute') ? <button class="button primary" type="button" disabled={!candidate || !!progress} onClick={() => void run()}>Run the backtest</button> : <span class="note">To run one is not for this role.</span>}
              {progress && <button class="button" type="button" onClick={() => running.current?.abort()}>Stop</button>}
              <button class="button quiet" type="button" onClick={() => write(JSON.stringify(parts(profile), null, 1))}>As it is</button>
              <span class="faint small">records of {at(start)} to {at(end)}</span>
            </div>
            {progress && <Going {...progress} />}
          </div>
        </Card>
        {result ? <Sums result={result} profile={profile} /> : <Card title="Result"><Empty><p>Change a threshold, a method or the schedule, and run it: what would have been judged and alerted is drawn here, beside what there is.{profile.schedule?.on_close && <> This profile is judged as minutes close; a schedule such as <code>* * * * *</code> replays that.</>}</p></Empty></Card>}
      </div>
      {result && <Went result={result} profile={profile} />}
      {result && may('profiles.write') && <Save candidate={result.candidate} stale={JSON.stringify(candidate) !== JSON.stringify(result.candidate)} />}
    </>
  )
}

function Going({ of, at: p }: { of: string; at: Progress }) {
  return <p class="small" role="status"><progress max={Number(p.total)} value={Number(p.done)} aria-label="Progress" /> {of}: {count(p.done)} of {count(p.total)} {p.unit}</p>
}

async function replay(of: string, body: object, tell: (p: { of: string; at: Progress }) => void, signal: AbortSignal): Promise<Tried> {
  const tried: Tried = { slots: [], changes: [], summary: null }
  tell({ of, at: { done: '0', total: '1', unit: 'slots' } })
  await stream<BacktestResponse>('/api/v1/backtests', body, (part) => {
    if (part.progress) tell({ of, at: part.progress })
    if (part.slot) tried.slots.push(part.slot)
    if (part.change) tried.changes.push(part.change)
    if (part.summary) tried.summary = part.summary
  }, signal)
  if (!tried.summary) throw new Failure(0, 'It broke off before its end.')
  return tried
}

function read(text: string): { parts: Pick<Profile, 'schedule' | 'correction' | 'monitors'> } | { problem: string } {
  try {
    const parts = JSON.parse(text)
    if (!Array.isArray(parts?.monitors) || parts.monitors.some((m: unknown) => typeof m !== 'object' || !m)) return { problem: 'monitors: want a list of monitors' }
    return { parts }
  } catch (err) {
    return { problem: `This is no JSON: ${(err as Error).message}` }
  }
}

const alarms = (t: Tried): number => (t.summary?.monitors ?? []).reduce((n, m) => n + Number(m.alerts), 0)

function verdict({ before, after }: Result): string {
  return `${plural(alarms(after), 'alert')} instead of ${count(alarms(before))}, in ${plural(after.summary?.slots ?? 0, 'slot')}.`
}

const kinds = ['fixed', 'significance', 'budget', 'deviations'] as const
type Kind = (typeof kinds)[number]
const kindOf = (t: Threshold | null): Kind => kinds.find((k) => t?.[k] !== undefined && t[k] !== null) ?? 'significance'

/** thresholdOf makes one of a kind from a number, and keeps what else there was. */
function thresholdOf(kind: Kind, v: number, old: Threshold | null): Threshold {
  const made = kind === 'budget' ? { budget: { days: 30, ...old?.budget, pages: v } } : kind === 'deviations' ? { deviations: { chunks: {}, ...old?.deviations, sigmas: v } } : { [kind]: v }
  return made as unknown as Threshold
}

const valueOf = (t: Threshold | null): number => {
  const k = kindOf(t)
  return k === 'budget' ? (t?.budget?.pages ?? 1) : k === 'deviations' ? (t?.deviations?.sigmas ?? 3) : (t?.[k] ?? 0.05)
}

/** Quick changes what one changes most, in the JSON below it. */
function Quick({ monitors, schedule, set }: { monitors: Monitor[]; schedule: Profile['schedule']; set: (next: Partial<Profile>) => void }) {
  const [query, choose] = useQuery()
  const at = Math.max(0, monitors.findIndex((m) => m.name === query.monitor))
  const m = monitors[at]
  const change = (next: Partial<Monitor>) => set({ monitors: monitors.map((o, i) => (i === at ? { ...o, ...next } : o)) })
  /** amount takes a number, and puts what it was back for what is none. */
  const amount = (of: HTMLInputElement, was: string, next: (v: number) => void) => {
    const v = Number(of.value)
    if (Number.isFinite(v)) next(v)
    else of.value = was
  }
  if (!m) return <p class="note">There is no monitor.</p>
  const kind = kindOf(m.threshold)
  return (
    <div class="filters">
      <label>Monitor<select value={m.name} onChange={(e) => choose({ monitor: e.currentTarget.value })}>{monitors.map((o) => <option key={o.name}>{o.name}</option>)}</select></label>
      <label>Method<Typed class="mono" value={m.detector} onChange={(e) => change({ detector: e.currentTarget.value.trim() })} /></label>
      <label>Threshold by<select value={kind} onChange={(e) => change({ threshold: thresholdOf(e.currentTarget.value as Kind, { fixed: 0.25, significance: 0.05, budget: 1, deviations: 3 }[e.currentTarget.value as Kind], m.threshold) })}>
        <option value="fixed">a value</option><option value="significance">false-alarm rate</option><option value="budget">pages in {m.threshold?.budget?.days ?? 30} days</option><option value="deviations">deviations</option>
      </select></label>
      <label class="short">Threshold<Typed inputMode="decimal" value={String(valueOf(m.threshold))} onChange={(e) => amount(e.currentTarget, String(valueOf(m.threshold)), (v) => change({ threshold: thresholdOf(kind, v, m.threshold) }))} /></label>
      <label class="short">Least n<Typed inputMode="numeric" value={String(m.min_sample)} onChange={(e) => amount(e.currentTarget, m.min_sample, (v) => change({ min_sample: String(Math.max(0, Math.round(v))) }))} /></label>
      <label>Schedule (cron)<Typed class="mono" value={schedule?.cron ?? ''} placeholder="0 0 * * *" onChange={(e) => set({ schedule: { zone: '', lookback: null, on_close: false, ...schedule, cron: e.currentTarget.value.trim() } as unknown as Profile['schedule'] })} /></label>
    </div>
  )
}

/** expected is how many of the judged slots would be drift where nothing moved. */
function expected(t: Tried, monitor: string): number | undefined {
  const rates = t.slots.flatMap((s) => {
    const mine = s.scores.filter((o) => o.monitor === monitor && o.verdict !== 'VERDICT_INSUFFICIENT')
    return mine.length === 0 ? [] : [mine[0]?.false_alarm_rate]
  })
  return rates.length === 0 || rates.some((r) => r === undefined) ? undefined : rates.reduce<number>((n, r) => n + (r ?? 0), 0)
}

function Sums({ result, profile }: { result: Result; profile: Profile }) {
  const { before, after, candidate, cron } = result
  return (
    <Card title="Result" note={`${count(after.summary?.records)} records in ${plural(after.summary?.slots ?? 0, 'slot')}`}>
      <table>
        <thead><tr><th>Monitor</th><th class="right">Alerts before</th><th class="right">After</th><th class="right">Slots over</th><th class="right">Expected falsely</th></tr></thead>
        <tbody>
          {(after.summary?.monitors ?? []).map((m) => {
            const old = before.summary?.monitors.find((o) => o.monitor === m.monitor)
            const false_ = expected(after, m.monitor)
            return (
              <tr key={m.monitor}>
                <td class="name">{m.monitor} <span class="faint">{m.detector}</span></td>
                <td class="right">{old ? count(old.alerts) : '–'}</td>
                <td class="right">{Number(m.alerts) > 0 ? <Status kind="moved">{count(m.alerts)}</Status> : '0'}</td>
                <td class="right">{count(m.drifted)} of {count(m.judged)}</td>
                <td class="right" title={design(candidate.monitors.find((o) => o.name === m.monitor), candidate).over}>{false_ === undefined ? <span class="faint">not stated</span> : `${number(false_)} slots`}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
      {cron && <p class="note">The schedule of {profile.version} has no slot in this time: what there is was tried at <code>{cron}</code> too.</p>}
      <Changes result={result} />
    </Card>
  )
}

/** Changes are what would have happened to alerts, before and after. */
function Changes({ result }: { result: Result }) {
  const all = [...result.before.changes.map((c) => ({ c, of: 'before' })), ...result.after.changes.map((c) => ({ c, of: 'after' }))].sort((a, b) => (a.c.slot ?? '').localeCompare(b.c.slot ?? ''))
  if (all.length === 0) return <p class="note">Nobody would have been alerted, before or after.</p>
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Alerts that would have been">
      <table class="dense">
        <thead><tr><th>Slot</th><th /><th>Monitor</th><th>Alert</th><th>Moved</th></tr></thead>
        <tbody>{all.map(({ c, of }, i) => <tr key={i}><td>{at(c.slot)}</td><td class="faint">{of}</td><td>{c.monitor}</td><td>{c.change}</td><td class="name" title={c.moved.join(', ')}>{c.moved.join(', ')}</td></tr>)}</tbody>
      </table>
    </div>
  )
}

/** Went draws one feature under the threshold that there is and the one that is tried. */
function Went({ result, profile }: { result: Result; profile: Profile }) {
  const [query, set] = useQuery()
  const pairs = new Map<string, Score>()
  for (const slot of result.after.slots) {
    for (const s of slot.scores) {
      const key = JSON.stringify([s.monitor, s.feature])
      const worst = pairs.get(key)
      if (!worst || ratio(s) > ratio(worst)) pairs.set(key, s)
    }
  }
  const order = [...pairs].sort((a, b) => ratio(b[1]) - ratio(a[1]))
  const [key, of] = order.find(([, s]) => s.feature === query.feature && (!query.monitor || s.monitor === query.monitor)) ?? order[0] ?? []
  if (!key || !of) return <Card title="Over time"><Empty>No slot of the schedule ends in this time.</Empty></Card>
  const mine = (s: Score) => s.monitor === of.monitor && s.feature === of.feature
  const old = new Map(result.before.slots.map((s) => [s.slot, s.scores.find(mine)]))
  const points: Moment[] = result.after.slots.map((slot) => {
    const s = slot.scores.find(mine)
    return { slot: slot.slot, value: s?.value, threshold: s?.threshold, was: old.get(slot.slot)?.threshold, verdict: s?.verdict ?? '', sample: Number(s?.sample ?? 0), marked: result.after.changes.some((c) => c.slot === slot.slot && c.monitor === of.monitor && c.change === 'raised') }
  })
  const title = `${of.feature || 'all features'}: slots that would have been judged`
  return (
    <Card title="Over time" note={`${of.detector} of ${of.feature || 'all features'}`} tools={
      <select aria-label="Monitor and feature" value={key} onChange={(e) => { const [monitor, feature] = JSON.parse(e.currentTarget.value); set({ monitor, feature }) }}>
        {order.map(([k, s]) => <option key={k} value={k}>{s.feature || 'all features'} · {s.monitor}</option>)}
      </select>
    }>
      <div class="body column">
        <Figure title={title} name={`${profile.name} ${of.feature} backtest`} rows={points}
          note={<><span><i class="swatch chance" />under the new threshold</span><span><i class="dashes" />threshold as it is</span><span><b class="diamond" aria-hidden="true">◆</b> over the new one</span></>} columns={[
            { head: 'Slot', of: (p) => p.slot, show: (p) => at(p.slot), text: true },
            { head: 'n', of: (p) => p.sample, show: (p) => count(p.sample) },
            { head: 'Value', of: (p) => p.value, show: (p) => number(p.value) },
            { head: 'Threshold before', of: (p) => p.was, show: (p) => number(p.was) },
            { head: 'Threshold after', of: (p) => p.threshold, show: (p) => number(p.threshold) },
            { head: 'Verdict', of: (p) => p.verdict.replace('VERDICT_', '').toLowerCase(), text: true },
            { head: 'Alert', of: (p) => (p.marked ? 'raised' : ''), text: true },
          ]}>
          {(cursor) => <OverTime points={points} cursor={cursor} title={title} markers={points.filter((p) => p.marked).map((p) => ({ slot: p.slot, word: 'alert' }))} />}
        </Figure>
      </div>
    </Card>
  )
}

function Save({ candidate, stale }: { candidate: Profile; stale: boolean }) {
  const deed = useDeed()
  const [version, name] = useState('')
  const [made, done] = useState<CreateProfileResponse | null>(null)
  if (made?.profile) {
    return (
      <Card title="Saved">
        <p class="note">It is <a href={profilePath(made.profile)}>{made.profile.space}/{made.profile.name}/{made.profile.version}</a>{made.profile.active ? ' and takes the place of the versions before.' : ', at rest.'}</p>
        {made.warnings.map((w) => <p key={w} class="note"><Status kind="warning">{w}</Status></p>)}
      </Card>
    )
  }
  return (
    <Card title="Save as a new version">
      <form class="filters body" onSubmit={(e) => { e.preventDefault(); const active = (e.currentTarget.elements.namedItem('active') as HTMLInputElement).checked; deed.run(() => post<CreateProfileResponse>('/api/v1/profiles', { profile: { ...candidate, version, active } }), done) }}>
        <label>Version<input class="mono" value={version} placeholder="the next minor one" onInput={(e) => name(e.currentTarget.value.trim())} /></label>
        <label class="check"><input type="checkbox" name="active" defaultChecked={candidate.active} /> Active, in place of the versions before</label>
        <button class="button primary" type="submit" disabled={deed.busy || stale}>Save</button>
        {stale && <span class="note">It was changed since; run it again.</span>}
        {deed.failure && <p class="wrong small" role="alert">{deed.failure.message} <code class="faint">{deed.failure.reason}</code></p>}
      </form>
    </Card>
  )
}
