import { useState } from 'preact/hooks'
import { get, post } from '../api/client'
import type { GetProfileResponse, ListProfilesResponse, ListScoresResponse, Profile, QuerySeriesResponse, RunNowResponse, Score, Series } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { may } from '../session'
import { Trend } from '../ui/charts'
import { download, Export } from '../ui/export'
import { Card, Copy, Empty, Segments, Shown, Status, VerdictOf } from '../ui/parts'
import { Typed } from '../typed'
import { rangeOf, useQuery } from '../url'
import { at, count, number } from '../words'
import { Feature } from './feature'
import { byRatio, latest, profilePath, ratio } from './model-parts'

export function Model({ space, name, version }: { space: string; name: string; version: string }) {
  const full = [space, name, version].join('/')
  const profile = useAsked(full, (s) => get<GetProfileResponse>(`/api/v1/profiles/${encodeURIComponent(full)}`, {}, s), 60_000)
  return <Shown of={profile} what="This profile">{(v) => (v.profile ? <View profile={v.profile} again={profile.again} /> : <Empty>It is not there.</Empty>)}</Shown>
}

function View({ profile, again }: { profile: Profile; again: () => void }) {
  const [query, set] = useQuery()
  const { start, end, name } = rangeOf(query)
  const scores = useAsked(`scores ${profile.uid}`, (s) => get<ListScoresResponse>('/api/v1/scores', { profile: profile.uid, page_size: 1 }, s), 15_000)
  const series = useAsked(`all series ${profile.uid} ${start} ${end}`, (s) =>
    get<QuerySeriesResponse>('/api/v1/series', { profile: profile.uid, start_time: start, end_time: end, points: 48, trigger: trigger(profile) }, s), 60_000, `all series ${profile.uid} ${name}`)
  const now = latest(scores.value?.evaluations ?? [])
  const rows = ranked(now, series.value?.series ?? [], query.rank !== 'slot')
  const chosen = now.find((s) => s.feature === query.feature && (!query.monitor || s.monitor === query.monitor)) ?? rows[0]?.score
  const moved = now.filter((s) => s.verdict === 'VERDICT_DRIFT')
  const evaluation = scores.value?.evaluations[0]
  return (
    <>
      <div class="headline">
        <h1>{profile.space}/{profile.name}/{profile.version} {now.length === 0 ? 'has not been judged yet.' : moved.length === 0 ? 'is as its reference.' : `has moved in ${moved.length} of ${now.length}.`}</h1>
        <span class="space" />
        <Deeds profile={profile} done={() => { again(); scores.again() }} />
      </div>
      <p class="faint small">{profile.active ? 'Active' : 'At rest'} · reference of {count(profile.reference_rows)} rows{profile.schedule?.cron && <> · judged at <code>{profile.schedule.cron}</code></>}{profile.schedule?.on_close && ' · judged as each minute closes'}{evaluation && <> · last: {count(evaluation.records)} records of {at(evaluation.start_time)} to {at(evaluation.end_time)}</>}</p>
      {query.view === 'json' && <ProfileJSON profile={profile} close={() => set({ view: '' })} />}
      <Card title="Features" note={query.rank === 'slot' ? 'furthest over the threshold in the last slot first' : 'furthest over the threshold in the chosen time first'} tools={
        <>
          <Export name={`${profile.name} features`} of={null} rows={() => [['feature', 'monitor', 'detector', 'verdict', 'value', 'threshold', 'most_times', 'slots', 'drifted', 'n'], ...rows.map((r) => [r.score.feature, r.score.monitor, r.score.detector, r.score.verdict, r.score.value, r.score.threshold, r.most, r.slots, r.drifted, r.score.sample])]} />
          <Segments label="Rank by" value={query.rank === 'slot' ? 'slot' : 'time'} of={[['slot', 'Last slot'], ['time', 'Chosen time']]} choose={(v) => set({ rank: v === 'slot' ? 'slot' : '' })} />
        </>
      }>
        <Shown of={scores} what="Scores">{() => now.length === 0 ? <Empty>Records have to come, and a slot of the schedule to pass; or run it now.</Empty> : <Features rows={rows} chosen={chosen} choose={(s) => set({ feature: s.feature, monitor: s.monitor, bin: '' }, true)} />}</Shown>
      </Card>
      {chosen && <Feature key={`${chosen.monitor} ${chosen.feature}`} profile={profile} score={chosen} alternatives={now.filter((s) => s.feature === chosen.feature)} evaluation={evaluation} all={series.value?.series ?? []} />}
      <Versions profile={profile} />
    </>
  )
}

export const trigger = (p: Profile): string => (p.schedule?.on_close ? 'close' : '')

interface Row { score: Score; most: number; slots: number; drifted: number; values: number[] }

/** ranked joins the newest scores with how they went in the chosen time. */
function ranked(now: Score[], series: Series[], byTime: boolean): Row[] {
  const went = new Map(series.map((s) => [`${s.monitor} ${s.feature}`, s.points]))
  const rows = now.map((score) => {
    const points = went.get(`${score.monitor} ${score.feature}`) ?? []
    return {
      score,
      most: Math.max(0, ...points.map((p) => ratio({ value: p.max, threshold: p.threshold, verdict: p.verdict }))),
      slots: points.reduce((n, p) => n + p.slots, 0),
      drifted: points.reduce((n, p) => n + p.drifted, 0),
      values: points.flatMap((p) => p.mean ?? []),
    }
  })
  return rows.sort((a, b) => (byTime ? Number(b.drifted > 0) - Number(a.drifted > 0) || b.most - a.most : 0) || byRatio(a.score, b.score))
}

function Features({ rows, chosen, choose }: { rows: Row[]; chosen: Score | undefined; choose: (s: Score) => void }) {
  const [query, set] = useQuery()
  const like = (query.like ?? '').toLowerCase()
  const found = rows.filter((r) => r.score.feature.toLowerCase().includes(like))
  const all = query.all === '1' || found.length <= 12
  return (
    <>
      {rows.length > 12 && <p class="filters body"><label class="grow">Filter features<Typed value={query.like ?? ''} type="search" onInput={(e) => set({ like: e.currentTarget.value })} /></label></p>}
      <table>
        <thead><tr><th>Feature</th><th>Verdict</th><th class="wide">Against threshold <span class="faint">(log, tick = 1×)</span></th><th class="right">Value</th><th class="right">Threshold</th><th class="wide">Detector</th><th class="right wide">Drifted</th><th class="wide">Chosen time</th><th class="right wide">n</th></tr></thead>
        <tbody>
          {(all ? found : found.slice(0, 12)).map((r) => (
            <tr key={`${r.score.monitor} ${r.score.feature}`} class={r.score === chosen ? 'selected' : undefined}>
              <td class="name"><button class="link" type="button" onClick={() => choose(r.score)} title={r.score.feature}>{r.score.feature || '(all)'}</button></td>
              <td><VerdictOf verdict={r.score.verdict} /></td>
              <td class="wide"><Times score={r.score} /></td>
              <td class="right">{number(r.score.value)}</td>
              <td class="right">{r.score.verdict === 'VERDICT_INSUFFICIENT' && r.score.min_sample !== '0' ? `needs ${count(r.score.min_sample)}` : number(r.score.threshold)}</td>
              <td class="wide faint" title={`monitor ${r.score.monitor}`}>{r.score.detector}</td>
              <td class="right wide">{r.slots > 0 ? `${count(r.drifted)} of ${count(r.slots)}` : '–'}</td>
              <td class="wide">{r.values.length > 0 && <Trend values={r.values} moved={r.score.verdict === 'VERDICT_DRIFT'} label={`${r.score.feature} over time`} />}</td>
              <td class="right wide">{count(r.score.sample)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {!all && <p class="note">12 of {count(found.length)}. <button class="link" type="button" onClick={() => set({ all: '1' })}>Show all</button></p>}
    </>
  )
}

/** Times is how many times its threshold a score is, on a scale of logarithms. */
function Times({ score }: { score: Score }) {
  const r = ratio(score)
  if (r === 0 || score.verdict === 'VERDICT_INSUFFICIENT') return null
  const x = 60 + Math.max(-54, Math.min(66, Math.log10(r) * 66))
  const over = score.verdict === 'VERDICT_DRIFT'
  return (
    <svg class="times-bar" width="130" height="14" viewBox="0 0 130 14" role="img" aria-label={`${number(r)} times the threshold`}>
      <line class="grid" x1="2" x2="128" y1="7" y2="7" />
      <line class="tick" x1="60" x2="60" y1="1" y2="13" />
      {over ? <><line class="gap" x1="60" x2={x} y1="7" y2="7" /><path class="moved" d={`M${x} 2l5 5-5 5-5-5Z`} /></> : <circle class="dot" cx={x} cy="7" r="4" />}
    </svg>
  )
}

function Deeds({ profile, done }: { profile: Profile; done: () => void }) {
  const [, set] = useQuery()
  const deed = useDeed()
  return (
    <span class="tools">
      {deed.failure && <span class="note" role="alert">{deed.failure.message}</span>}
      <button class="button" type="button" onClick={() => set({ view: 'json' }, true)}>Profile JSON</button>
      {may('scores.compute') && <a class="button" href={`${profilePath(profile)}/backtest`}>Backtest</a>}
      {may('profiles.run') && <button class="button" type="button" disabled={deed.busy} onClick={() => deed.run(() => post<RunNowResponse>('/api/v1/profiles:run', { profile: profile.uid }), done)}>Run now</button>}
      {may('profiles.write') && <button class="button" type="button" disabled={deed.busy} onClick={() => deed.run(() => post('/api/v1/profiles:setActive', { profile: profile.uid, active: !profile.active }), done)}>{profile.active ? 'Put at rest' : 'Activate'}</button>}
    </span>
  )
}

/** ProfileJSON is the profile as the API has it, to be kept or changed. */
function ProfileJSON({ profile, close }: { profile: Profile; close: () => void }) {
  const [text] = useState(() => JSON.stringify(profile, null, 1))
  return (
    <Card title="Profile JSON" note={profile.uid} tools={<><Copy text={text}>Copy</Copy><button class="button small" type="button" onClick={() => download(`${profile.space}-${profile.name}-${profile.version}.json`, 'application/json', text)}>Download</button><button class="button small" type="button" onClick={close}>Close</button></>}>
      <pre class="json" tabIndex={0}><code>{text}</code></pre>
    </Card>
  )
}

/** Versions are all of one name, the newest first. */
function Versions({ profile }: { profile: Profile }) {
  const deed = useDeed()
  const all = useAsked(`versions ${profile.space} ${profile.name}`, async (s) => {
    const { profiles } = await get<ListProfilesResponse>('/api/v1/profiles', { space: profile.space, page_size: 1000 }, s)
    return profiles.filter((p) => p.name === profile.name)
  }, 30_000)
  const turn = (p: Profile) => deed.run(() => post('/api/v1/profiles:setActive', { profile: p.uid, active: !p.active }), () => all.again())
  return (
    <Card title="Versions" note="a new one takes the place of those before">
      {deed.failure && <p class="note bad" role="alert">{deed.failure.message}</p>}
      <Shown of={all} what="Versions">
        {(versions) => (
          <table>
            <thead><tr><th>Version</th><th>State</th><th class="wide">Monitors</th><th class="right wide">Reference</th><th class="right">Made</th>{may('profiles.write') && <th />}</tr></thead>
            <tbody>
              {versions.map((p) => (
                <tr key={p.uid} class={p.uid === profile.uid ? 'selected' : undefined}>
                  <td><a href={profilePath(p)}>{p.version}</a></td>
                  <td>{p.active ? <Status kind="ok">active</Status> : <span class="faint">at rest</span>}</td>
                  <td class="wide faint name">{p.monitors.map((m) => `${m.name} (${m.detector})`).join(', ')}</td>
                  <td class="right wide">{count(p.reference_rows)} rows</td>
                  <td class="right faint">{at(p.create_time)}</td>
                  {may('profiles.write') && <td class="right"><button class="button small" type="button" disabled={deed.busy} onClick={() => turn(p)} aria-label={`${p.active ? 'Deactivate' : 'Activate'} version ${p.version}`}>{p.active ? 'Deactivate' : 'Activate'}</button></td>}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}
