// One feature of a model: how it went, how it is spread, and what carries its shift.
import type { ComponentChildren } from 'preact'
import { get } from '../api/client'
import type { BinScore, Evaluation, ExplainResponse, FeatureProfile, Profile, QuerySeriesResponse, Score, Series, SeriesPoint, SummarizeResponse } from '../api/types'
import { useAsked } from '../ask'
import { chart, ruleWords } from '../control'
import { told, useDeploys } from '../deploys'
import { Control, Ecdf, gapOf, OverTime, Pair, Trend, type Moment } from '../ui/charts'
import { Figure, type Column } from '../ui/figure'
import { Card, Empty, Segments, Shown, Status, VerdictOf } from '../ui/parts'
import { rangeOf, useQuery } from '../url'
import { at, count, number, percent } from '../words'
import { binColumns, design, evidence, ratio, Slices, stepsOf } from './model-parts'
import { trigger } from './model'

export function Feature({ profile, score, alternatives, evaluation, all }: { profile: Profile; score: Score; alternatives: Score[]; evaluation: Evaluation | undefined; all: Series[] }) {
  const [, set] = useQuery()
  const name = score.feature || 'all features'
  const f = profile.features.find((o) => o.name === score.feature)
  const bins = [...score.bins, ...score.states.filter((s) => s.count !== '0')]
  return (
    <>
      <Card title={name} note={f && `${f.kind === 'FEATURE_KIND_NUMERIC' ? 'numeric' : 'category'} · ${count(score.bins.length)} bins · monitor “${score.monitor}”`} tools={alternatives.length > 1 && <Segments label="Monitor" value={score.monitor} of={alternatives.map((s) => [s.monitor, s.detector] as const)} choose={(v) => set({ feature: score.feature, monitor: v, bin: '' }, true)} />}>
        <Facts profile={profile} score={score} evaluation={evaluation} />
        <div class="body column">
          {score.caveats.map((c) => <p key={c} class="small"><Status kind="warning">{c}</Status></p>)}
          <Went profile={profile} score={score} />
        </div>
      </Card>
      {bins.length > 0 && (
        <div class="halves">
          <Card label={`Reference and current of ${name}`}><div class="body column top"><Spread name={name} bins={bins} score={score} /></div></Card>
          {f && stepsOf(score.bins, f).length > 0 && <Card label={`Cumulative shares of ${name}`}><div class="body column top"><Cumulative name={name} bins={score.bins} f={f} /></div></Card>}
        </div>
      )}
      {f && <Charts profile={profile} f={f} scores={alternatives} all={all} why={score.verdict === 'VERDICT_DRIFT' && evaluation && <Why profile={profile} score={score} evaluation={evaluation} />} />}
    </>
  )
}

function Facts({ profile, score, evaluation }: { profile: Profile; score: Score; evaluation: Evaluation | undefined }) {
  const alarm = design(profile.monitors.find((m) => m.name === score.monitor), profile, score)
  const state = (label: string) => score.states.find((s) => s.label === label)?.count ?? '0'
  const missing = score.states.find((s) => s.label === 'missing')
  return (
    <div class="facts" role="group" aria-label="Evidence">
      <div><span class="label">Verdict</span><VerdictOf verdict={score.verdict} /><span class="note">{evaluation && `${at(evaluation.start_time)} – ${at(evaluation.end_time)}`}</span></div>
      <div><span class="label">{score.detector}</span><b>{number(score.value)}</b><span class="note">threshold {number(score.threshold)}{ratio(score) > 0 && `, ${number(ratio(score))}×`}</span></div>
      <div><span class="label">Sample</span><b>{count(score.sample)}</b><span class="note">reference {count(score.reference)}{score.min_sample !== '0' && `, needs ${count(score.min_sample)}`}</span></div>
      <div><span class="label">False alarms, by design</span><b>{alarm.rate}</b><span class="note">{alarm.over}</span></div>
      <div><span class="label">Missing · NaN · ±Inf</span><b>{count(state('missing'))} · {count(state('nan'))} · {count((BigInt(state('+inf')) + BigInt(state('-inf'))).toString())}</b><span class="note">{missing ? `${percent(missing.observed)} missing, reference ${percent(missing.expected)}` : 'of all values'}</span></div>
      {(score.adjusted_p_value ?? score.p_value) !== undefined && <div><span class="label">p</span><b>{number(score.adjusted_p_value ?? score.p_value)}</b><span class="note">{score.method}{score.adjusted_p_value !== undefined && ', corrected'}</span></div>}
    </div>
  )
}

const moments = (points: SeriesPoint[]): Moment[] => points.map((p) => ({ slot: p.last_slot, value: p.mean, threshold: p.threshold, verdict: p.verdict, sample: Number(p.sample) }))

export const momentColumns: Column<Moment>[] = [
  { head: 'Slot', of: (p) => p.slot, show: (p) => at(p.slot), text: true },
  { head: 'n', of: (p) => p.sample, show: (p) => count(p.sample) },
  { head: 'Value', of: (p) => p.value, show: (p) => number(p.value) },
  { head: 'Threshold', of: (p) => p.threshold, show: (p) => number(p.threshold) },
  { head: 'Verdict', of: (p) => p.verdict.replace('VERDICT_', '').toLowerCase(), text: true },
]

function Went({ profile, score }: { profile: Profile; score: Score }) {
  const [query] = useQuery()
  const { start, end, name: time } = rangeOf(query)
  const series = useAsked(`series ${profile.uid} ${score.monitor} ${score.feature} ${start} ${end}`, (s) =>
    get<QuerySeriesResponse>('/api/v1/series', { profile: profile.uid, monitor: score.monitor, feature: score.feature, start_time: start, end_time: end, points: 200, trigger: trigger(profile) }, s), 30_000, `series ${profile.uid} ${score.monitor} ${score.feature} ${time}`)
  const deploys = useDeploys(Date.parse(start), Date.parse(end))
  const name = score.feature || 'all features'
  return (
    <Shown of={series} what="The series">
      {(v) => {
        const points = moments(v.series[0]?.points ?? [])
        if (points.length === 0) return <Empty>Nothing was judged in this time.</Empty>
        const [first, last] = [Date.parse(points[0]?.slot ?? ''), Date.parse(points.at(-1)?.slot ?? '')]
        const shown = deploys.filter((d) => d.at >= first && d.at <= last)
        return (
          <>
            <Figure title="Drift over time" name={`${profile.name} ${name} over time`} columns={momentColumns} rows={points}
              note={<><span><i class="swatch chance" />expected by chance</span><span><b class="diamond" aria-hidden="true">◆</b> over</span><span><i class="cell hatched" />too few values</span></>}>
              {(cursor) => <OverTime points={points} cursor={cursor} title={`${score.detector} of ${name} over time, under its threshold`} markers={shown.map((d) => ({ slot: new Date(d.at).toISOString(), word: d.version }))} />}
            </Figure>
            {shown.length > 0 && <p class="faint small">New versions: {shown.map(told).join(' · ')}</p>}
          </>
        )
      }}
    </Shown>
  )
}

/** Spread shows the distributions, and the records of the bin that is chosen. */
function Spread({ name, bins, score }: { name: string; bins: BinScore[]; score: Score }) {
  const [query, set] = useQuery()
  const chosen = Math.min(Number(query.bin ?? -1), bins.length - 1)
  const bin = bins[chosen]
  return (
    <>
      <Figure title="Reference and current" name={`${name} bins`} columns={binColumns} rows={bins}
        note={<><span><i class="swatch was" />reference, n {count(score.reference)}</span><span><i class="swatch is" />current, n {count(score.sample)}</span><span class="faint">choose a bin for its records</span></>}>
        {(cursor) => <Pair bins={bins} chosen={chosen} cursor={cursor} choose={(i) => set({ bin: i === chosen ? '' : String(i) })} title={`Shares of ${name} in reference and current`} />}
      </Figure>
      {bin && (
        <div class="exemplars">
          <h3>Records in {bin.label} <span class="faint">{count(bin.count)}, adds {number(bin.contribution)}</span></h3>
          {bin.exemplars.length === 0 ? <p class="faint small">None of them is known by id.</p> : (
            <ul>{bin.exemplars.map((e) => <li key={e.record_id}>{e.trace_id ? <a href={`/traces/${e.trace_id}?span=${e.span_id}`}>trace <code>{e.trace_id.slice(0, 8)}</code></a> : <span class="faint">no trace</span>} <span class="faint small">record {e.record_id}</span></li>)}</ul>
          )}
        </div>
      )}
    </>
  )
}

function Cumulative({ name, bins, f }: { name: string; bins: BinScore[]; f: FeatureProfile }) {
  const steps = stepsOf(bins, f)
  const { step, gap } = gapOf(steps)
  return (
    <Figure title="Cumulative" name={`${name} cumulative`} rows={steps} note={step && <span>KS gap {number(gap)} at {number(step.edge)}, by the bins</span>} columns={[
      { head: 'Edge', of: (s) => s.edge, show: (s) => number(s.edge) },
      { head: 'Reference', of: (s) => s.was, show: (s) => percent(s.was, 2) },
      { head: 'Current', of: (s) => s.is, show: (s) => percent(s.is, 2) },
      { head: 'Gap', of: (s) => s.is - s.was, show: (s) => percent(s.is - s.was, 2) },
    ]}>
      {(cursor) => <Ecdf steps={steps} low={f.baseline?.min ?? 0} high={f.baseline?.max ?? 0} cursor={cursor} title={`Cumulative shares of ${name}: the largest gap is ${number(gap)}`} />}
    </Figure>
  )
}

/** Charts are of what was counted in steps of time, whatever judges it: means on a
 * control chart, and shares of values that are none. */
function Charts({ profile, f, scores, all, why }: { profile: Profile; f: FeatureProfile; scores: Score[]; all: Series[]; why: ComponentChildren }) {
  const [query] = useQuery()
  const { start, end, minutes, name: time } = rangeOf(query)
  const seconds = Math.max(60, Math.ceil((minutes * 60) / 60 / 60) * 60)
  const sums = useAsked(`summary ${profile.uid} ${start} ${end}`, (s) => get<SummarizeResponse>('/api/v1/summaries', { profile: profile.uid, start_time: start, end_time: end, step: `${seconds}s` }, s), 60_000, `summary ${profile.uid} ${time}`)
  const patterns = scores.flatMap((s) => s.caveats.filter((c) => c.startsWith('pattern ')).map((c) => `${s.monitor} found ${c.slice('pattern '.length)}`))
  return (
    <>
      <Card label={`Control chart of ${f.name}`}>
        <div class="body column top">
          <Shown of={sums} what="What was counted">
            {(v) => {
              const points = chart(v.steps, f)
              if (points.length === 0) return <Empty>{f.kind === 'FEATURE_KIND_NUMERIC' ? 'No mean is known in this time.' : 'Means are of numbers.'}</Empty>
              return (
                <Figure title="Control chart" name={`${f.name} control chart`} rows={points} note={<span>means of {seconds / 60} min, in standard errors of the reference’s mean {number(f.baseline?.mean)}</span>} columns={[
                  { head: 'Step', of: (p) => p.time, show: (p) => at(p.time), text: true },
                  { head: 'n', of: (p) => p.n, show: (p) => count(p.n) },
                  { head: 'Mean', of: (p) => p.mean, show: (p) => number(p.mean) },
                  { head: 'Deviation', of: (p) => p.sd, show: (p) => number(p.sd) },
                  { head: 'σ', of: (p) => p.z, show: (p) => p.z.toFixed(2) },
                  { head: 'Rules', of: (p) => p.rules.join(' '), show: (p) => p.rules.map((r) => ruleWords[r - 1]).join('; ') || 'none', text: true },
                ]}>
                  {(cursor) => <Control points={points} cursor={cursor} title={`Means of ${f.name} over time: ${points.filter((p) => p.rules.length > 0).length} of ${points.length} break a rule`} />}
                </Figure>
              )
            }}
          </Shown>
          <p class="faint small">Western Electric’s rules: {ruleWords.map((w, i) => `rule ${i + 1}, ${w}`).join(' · ')}{patterns.length > 0 && <><br /><Status kind="moved">{patterns.join(', ')}</Status></>}</p>
        </div>
      </Card>
      <div class={why ? 'halves' : undefined}>
        {why}
        <Quality f={f} sums={sums.value} all={all} />
      </div>
    </>
  )
}

const quality = ['missing', 'nan', 'infinite', 'wrong_type', 'out_of_range', 'unseen_category', 'constant', 'volume', 'freshness', 'no_data']
const performance = ['accuracy', 'precision', 'recall', 'f1', 'auc', 'mae', 'rmse', 'cbpe_accuracy', 'calibration']

/** Quality lists shares of what is no value, and the monitors of quality and performance. */
function Quality({ f, sums, all }: { f: FeatureProfile; sums: SummarizeResponse | undefined; all: Series[] }) {
  const steps = (sums?.steps ?? []).flatMap((s) => s.features.filter((o) => o.name === f.name))
  const total = (o: (typeof steps)[number]) => [...o.counts, ...Object.values(o.states)].reduce((n, c) => n + Number(c), 0)
  const base = f.baseline
  const rows = Number(base?.rows ?? 0)
  const was: Record<string, number> = { missing: Number(base?.missing ?? 0), nan: Number(base?.nan ?? 0), '+inf': Number(base?.positive_infinite ?? 0), '-inf': Number(base?.negative_infinite ?? 0) }
  const names = ['missing', 'nan', '+inf', '-inf', 'other', 'wrong_type'].filter((n) => n === 'missing' || (was[n] ?? 0) > 0 || steps.some((o) => o.states[n]))
  const watched = all.filter((s) => s.feature === f.name || s.feature === '').filter((s) => quality.includes(s.detector) || performance.includes(s.detector))
  return (
    <Card title="Quality" note="shares of all values, over the chosen time">
      <table class="dense">
        <thead><tr><th>What</th><th class="right">Reference</th><th class="right">Now</th><th>Over time</th></tr></thead>
        <tbody>
          {names.map((n) => {
            const shares = steps.map((o) => Number(o.states[n] ?? 0) / (total(o) || 1))
            return <tr key={n}><td>{n.replace('_', ' ')}</td><td class="right">{rows > 0 && was[n] !== undefined ? percent(was[n] / rows, 2) : '–'}</td><td class="right">{shares.length > 0 ? percent(shares.at(-1) ?? 0, 2) : '–'}</td><td><Trend values={shares} moved={false} label={`Share of ${n}`} /></td></tr>
          })}
          {watched.map((s) => {
            const last = s.points.at(-1)
            return <tr key={`${s.monitor} ${s.feature}`}><td class="name">{s.monitor} <span class="faint">{s.detector}</span></td><td class="right">{number(last?.threshold)}</td><td class="right">{number(last?.mean)}</td><td><Trend values={s.points.flatMap((p) => p.mean ?? [])} moved={last?.verdict === 'VERDICT_DRIFT'} label={s.monitor} /></td></tr>
          })}
        </tbody>
      </table>
      {watched.length > 0 && <p class="note">Of monitors, the reference is the threshold.</p>}
    </Card>
  )
}

/** Why is which slices carry the shift of the newest evaluation. */
function Why({ profile, score, evaluation }: { profile: Profile; score: Score; evaluation: Evaluation }) {
  const why = useAsked(`why ${profile.uid} ${score.monitor} ${score.feature} ${evaluation.end_time}`, (s) =>
    get<ExplainResponse>('/api/v1/explanations', { profile: profile.uid, feature: score.feature, monitor: score.monitor, start_time: evaluation.start_time ?? '', end_time: evaluation.end_time ?? '' }, s))
  return (
    <Card title="Slices that carry the shift" note={why.value ? `of ${count(why.value.tried)} that were tried` : evidence(score)}>
      <Shown of={why} what="The slices">{(v) => (v.slices.length === 0 ? <Empty>{v.moved ? 'No slice carries more of it than its size explains.' : 'The records of this time do not move it any more.'}</Empty> : <Slices slices={v.slices} />)}</Shown>
    </Card>
  )
}
