import { get, post } from '../api/client'
import type { BinScore, ListScoresResponse, GetProfileResponse, Profile, QuerySeriesResponse, RunNowResponse, Score } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { may } from '../session'
import { OverTime, Pair } from '../ui/charts'
import { Card, Copy, Empty, Shown, Status, VerdictOf } from '../ui/parts'
import { rangeOf, useQuery } from '../url'
import { at, count, number, percent } from '../words'
import { byRatio, evidence, latest, ratio } from './model-parts'

export function Model({ space, name, version }: { space: string; name: string; version: string }) {
  const full = [space, name, version].map(decodeURIComponent).join('/')
  const profile = useAsked(full, (s) => get<GetProfileResponse>(`/api/v1/profiles/${encodeURIComponent(full)}`, {}, s), 60_000)
  return <Shown of={profile} what="This profile">{(v) => (v.profile ? <View profile={v.profile} again={profile.again} /> : <Empty>It is not there.</Empty>)}</Shown>
}

function View({ profile, again }: { profile: Profile; again: () => void }) {
  const [query, set] = useQuery()
  const scores = useAsked(`scores ${profile.uid}`, (s) => get<ListScoresResponse>('/api/v1/scores', { profile: profile.uid, page_size: 1 }, s), 15_000)
  const now = latest(scores.value?.evaluations ?? [])
  const chosen = now.find((s) => s.feature === query.feature && (!query.monitor || s.monitor === query.monitor)) ?? now.toSorted(byRatio)[0]
  const moved = now.filter((s) => s.verdict === 'VERDICT_DRIFT')
  const evaluation = scores.value?.evaluations[0]
  return (
    <>
      <div class="headline">
        <h1>{profile.space}/{profile.name}/{profile.version} {now.length === 0 ? 'has not been judged yet.' : moved.length === 0 ? 'is as its reference.' : `has moved in ${moved.length} of ${now.length}.`}</h1>
        <span class="space" />
        <Deeds profile={profile} done={() => { again(); scores.again() }} />
      </div>
      <p class="faint small">{profile.active ? 'Active' : 'At rest'} · reference of {count(profile.reference_rows)} rows{profile.schedule?.cron && <> · judged at <code>{profile.schedule.cron}</code></>}{evaluation && <> · last: {count(evaluation.records)} records of {at(evaluation.start_time)} to {at(evaluation.end_time)}</>} · <Copy text={JSON.stringify(profile, null, 1)}>Copy JSON</Copy></p>
      <Card title="Features" note="those that moved most first">
        <Shown of={scores} what="Scores">
          {() => now.length === 0 ? <Empty>Records have to come, and a slot of the schedule to pass; or run it now.</Empty> : (
            <table>
              <thead><tr><th>Feature</th><th>Verdict</th><th class="wide">Monitor</th><th class="right">Value</th><th class="right">Threshold</th><th class="right wide">Times</th><th class="right wide">p</th><th class="right wide">n</th></tr></thead>
              <tbody>
                {now.toSorted(byRatio).map((s) => (
                  <tr key={`${s.monitor} ${s.feature}`} class={s === chosen ? 'selected' : undefined}>
                    <td class="name"><button class="link" type="button" onClick={() => set({ feature: s.feature, monitor: s.monitor, bin: '' }, true)}>{s.feature || '(all)'}</button></td>
                    <td><VerdictOf verdict={s.verdict} /></td>
                    <td class="wide faint">{s.monitor} · {s.detector}</td>
                    <td class="right">{number(s.value)}</td>
                    <td class="right">{number(s.threshold)}</td>
                    <td class="right wide">{ratio(s) > 0 ? `${number(ratio(s))}×` : '–'}</td>
                    <td class="right wide">{number(s.adjusted_p_value ?? s.p_value)}</td>
                    <td class="right wide">{count(s.sample)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Shown>
      </Card>
      {chosen && <Feature profile={profile} score={chosen} />}
    </>
  )
}

function Deeds({ profile, done }: { profile: Profile; done: () => void }) {
  const deed = useDeed()
  return (
    <span class="tools">
      {deed.failure && <span class="note" role="alert">{deed.failure.message}</span>}
      {may('profiles.run') && <button class="button" type="button" disabled={deed.busy} onClick={() => deed.run(() => post<RunNowResponse>('/api/v1/profiles:run', { profile: profile.uid }), done)}>Run now</button>}
      {may('profiles.write') && <button class="button" type="button" disabled={deed.busy} onClick={() => deed.run(() => post('/api/v1/profiles:setActive', { profile: profile.uid, active: !profile.active }), done)}>{profile.active ? 'Put at rest' : 'Activate'}</button>}
    </span>
  )
}

function Feature({ profile, score }: { profile: Profile; score: Score }) {
  const [query, set] = useQuery()
  const { start, end } = rangeOf(query)
  const series = useAsked(`series ${profile.uid} ${score.monitor} ${score.feature} ${start} ${end}`, (s) =>
    get<QuerySeriesResponse>('/api/v1/series', { profile: profile.uid, monitor: score.monitor, feature: score.feature, start_time: start, end_time: end, points: 200, trigger: profile.schedule?.on_close ? 'close' : '' }, s), 30_000)
  const bins = [...score.bins, ...score.states.filter((s) => s.count !== '0')]
  const chosen = Math.min(Number(query.bin ?? -1), bins.length - 1)
  const points = series.value?.series[0]?.points ?? []
  const name = score.feature || 'all features'
  return (
    <Card title={name} note={evidence(score)} tools={<VerdictOf verdict={score.verdict} />}>
      <div class="body column">
        {score.caveats.map((c) => <p key={c} class="small"><Status kind="warning">{c}</Status></p>)}
        <h3>{score.detector} over time</h3>
        <Shown of={series} what="The series">{() => (points.length === 0 ? <Empty>Nothing was judged in this time.</Empty> : <OverTime points={points} title={`${score.detector} of ${name} over time, under its threshold`} />)}</Shown>
        {bins.length > 0 && (
          <>
            <h3>Reference and current <span class="legend"><span><i class="swatch was" />reference</span><span><i class="swatch is" />current</span><span class="faint">choose a bin for its records</span></span></h3>
            <Pair bins={bins} chosen={chosen} choose={(i) => set({ bin: i === chosen ? '' : String(i) })} title={`Shares of ${name} in reference and current`} />
            <Bins bins={bins} chosen={chosen} />
          </>
        )}
      </div>
    </Card>
  )
}

function Bins({ bins, chosen }: { bins: BinScore[]; chosen: number }) {
  const bin = bins[chosen]
  return (
    <>
      {bin && (
        <div class="exemplars">
          <h3>Records in {bin.label}</h3>
          {bin.exemplars.length === 0 ? <p class="faint small">None of them is known by id.</p> : (
            <ul>{bin.exemplars.map((e) => <li key={e.record_id}>{e.trace_id ? <a href={`/traces/${e.trace_id}?span=${e.span_id}`}>trace <code>{e.trace_id.slice(0, 8)}</code></a> : <span class="faint">no trace</span>} <span class="faint small">record {e.record_id}</span></li>)}</ul>
          )}
        </div>
      )}
      <details>
        <summary>Table</summary>
        <table class="dense">
          <thead><tr><th>Bin</th><th class="right">Reference</th><th class="right">Current</th><th class="right">Values</th><th class="right">Contribution</th></tr></thead>
          <tbody>{bins.map((b) => <tr key={b.label}><td class="name">{b.label}</td><td class="right">{percent(b.expected, 2)}</td><td class="right">{percent(b.observed, 2)}</td><td class="right">{count(b.count)}</td><td class="right">{number(b.contribution)}</td></tr>)}</tbody>
        </table>
      </details>
    </>
  )
}
