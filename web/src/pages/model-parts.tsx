// What screens about models have in common.
import type { BinScore, Evaluation, FeatureProfile, Monitor, Profile, Score, Slice } from '../api/types'
import type { Step } from '../ui/charts'
import type { Column } from '../ui/figure'
import { count, number, percent } from '../words'

export const profilePath = (p: { space: string; name: string; version: string }): string =>
  `/models/${[p.space, p.name, p.version].map(encodeURIComponent).join('/')}`

/** latest are the scores of the newest evaluation. */
export const latest = (evaluations: Evaluation[]): Score[] => evaluations[0]?.scores ?? []

type Judged = Pick<Score, 'value' | 'judged' | 'threshold' | 'verdict'>

/** ratio is how many times its threshold a score is; what is judged by significance
 * says how far below it the p-value is. */
export function ratio(s: Judged): number {
  const value = s.judged ?? s.value
  if (value === undefined) return 0
  if (s.threshold !== undefined && s.threshold !== 0) return Math.abs(value / s.threshold)
  return s.verdict === 'VERDICT_DRIFT' ? 1 : 0
}

export const byRatio = (a: Judged, b: Judged): number =>
  Number(b.verdict === 'VERDICT_DRIFT') - Number(a.verdict === 'VERDICT_DRIFT') || ratio(b) - ratio(a)

/** step is the severity of a score on the scale of the tokens. */
export function step(s: Judged): number {
  if (s.verdict !== 'VERDICT_DRIFT') return 0
  const r = ratio(s)
  return r >= 8 ? 6 : r >= 4 ? 5 : r >= 2.5 ? 4 : r >= 1.5 ? 3 : 2
}

/** shapes of severity, by step: colour alone says nothing. */
export const shape = (of: number): string => (of >= 5 ? '▲' : of >= 4 ? '◆' : of >= 2 ? '◇' : '')

/** evidence says what makes a verdict believable: threshold, sample, false alarms. */
export function evidence(s: Score): string {
  const parts = [`${s.detector} ${number(s.value)}`]
  if (s.threshold !== undefined) parts.push(`against ${number(s.threshold)}`)
  if (s.adjusted_p_value !== undefined) parts.push(`p ${number(s.adjusted_p_value)}`)
  parts.push(`at n ${number(Number(s.sample))}`)
  if (s.false_alarm_rate !== undefined) parts.push(`${number(s.false_alarm_rate * 100)} % false alarms`)
  return parts.join(' · ')
}

const corrections = {
  CORRECTION_UNSPECIFIED: 'Benjamini–Hochberg', CORRECTION_BENJAMINI_HOCHBERG: 'Benjamini–Hochberg', CORRECTION_HOLM: 'Holm', CORRECTION_BONFERRONI: 'Bonferroni', CORRECTION_NONE: 'not corrected',
}

/** design is how often a monitor is meant to alarm where nothing moved, and over what. */
export function design(m: Monitor | undefined, p: Profile, s?: Score): { rate: string; over: string } {
  const t = m?.threshold
  const stated = s?.false_alarm_rate
  if (t?.budget) return { rate: `${number(t.budget.pages)} in ${number(t.budget.days)} days`, over: `over all features, ${corrections[p.correction]}` }
  if (t?.deviations) return { rate: stated === undefined ? 'as the reference varies' : percent(stated, 2), over: `${number(t.deviations.sigmas)} σ of reference chunks` }
  if (typeof t?.fixed === 'number') return { rate: stated === undefined ? 'not stated' : percent(stated, 2), over: 'a value was set, and no rate' }
  return { rate: `${percent(t?.significance ?? 0.05, 2)} of evaluations`, over: `over all features, ${corrections[p.correction]}` }
}

/** Cell is one feature in a line of squares. */
export function Cell({ score, profile }: { score: Score; profile: Profile }) {
  const name = score.feature || 'all features'
  const verdict = { VERDICT_DRIFT: 'moved', VERDICT_OK: 'as reference', VERDICT_INSUFFICIENT: 'insufficient', VERDICT_UNSPECIFIED: 'not judged' }[score.verdict]
  const said = `${name}: ${verdict}, ${evidence(score)}`
  const kind = score.verdict === 'VERDICT_INSUFFICIENT' ? 'hatched' : `s${step(score)}`
  return <a class={`cell ${kind}`} href={`${profilePath(profile)}?feature=${encodeURIComponent(score.feature)}&monitor=${encodeURIComponent(score.monitor)}`} title={said} aria-label={said}>{shape(step(score))}</a>
}

/** stepsOf are the places of an ECDF: the edges between the bins of a number. */
export function stepsOf(bins: BinScore[], f: FeatureProfile | undefined): Step[] {
  if (!f || f.edges.length === 0 || f.edges.length !== bins.length - 1) return []
  let was = 0
  let is = 0
  return f.edges.map((edge, i) => ({ edge, was: (was += bins[i]?.expected ?? 0), is: (is += bins[i]?.observed ?? 0) }))
}

/** Slices are those that carry a shift. */
export function Slices({ slices }: { slices: Slice[] }) {
  return (
    <table class="dense">
      <thead><tr><th>Slice</th><th class="right">Explains</th><th class="wide" /><th class="right">Lift</th><th class="right wide">Of records</th><th class="right wide">p</th></tr></thead>
      <tbody>
        {slices.map((s) => (
          <tr key={`${s.feature}=${s.value}`}>
            <td class="name" title={`${s.feature} = ${s.value}`}>{s.feature} = {s.value}{s.unseen && <span class="faint"> (not in the reference)</span>}</td>
            <td class="right">{percent(s.shift_share, 0)}</td>
            <td class="wide"><meter class="meter" min={0} max={1} value={s.shift_share} aria-label={`explains ${percent(s.shift_share, 0)}`} /></td>
            <td class="right">{number(s.lift)}×</td>
            <td class="right wide">{percent(s.share, 0)} <span class="faint">({count(s.records)})</span></td>
            <td class="right wide">{number(s.adjusted_p_value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** binColumns are the table behind a distribution. */
export const binColumns: Column<BinScore>[] = [
  { head: 'Bin', of: (b) => b.label, text: true },
  { head: 'Reference', of: (b) => b.expected, show: (b) => percent(b.expected, 2) },
  { head: 'Current', of: (b) => b.observed, show: (b) => percent(b.observed, 2) },
  { head: 'Values', of: (b) => b.count, show: (b) => count(b.count) },
  { head: 'Contribution', of: (b) => b.contribution, show: (b) => number(b.contribution) },
]
