// What screens about models have in common.
import type { Evaluation, Profile, Score } from '../api/types'
import { number } from '../words'

export const profilePath = (p: { space: string; name: string; version: string }): string =>
  `/models/${[p.space, p.name, p.version].map(encodeURIComponent).join('/')}`

/** latest are the scores of the newest evaluation. */
export const latest = (evaluations: Evaluation[]): Score[] => evaluations[0]?.scores ?? []

/** ratio is how many times its threshold a score is; what is judged by significance
 * says how far below it the p-value is. */
export function ratio(s: Score): number {
  if (s.value === undefined) return 0
  if (s.threshold !== undefined && s.threshold !== 0) return Math.abs(s.value / s.threshold)
  return s.verdict === 'VERDICT_DRIFT' ? 1 : 0
}

export const byRatio = (a: Score, b: Score): number =>
  Number(b.verdict === 'VERDICT_DRIFT') - Number(a.verdict === 'VERDICT_DRIFT') || ratio(b) - ratio(a)

/** step is the severity of a score on the scale of the tokens. */
export function step(s: Score): number {
  if (s.verdict !== 'VERDICT_DRIFT') return 0
  const r = ratio(s)
  return r >= 8 ? 6 : r >= 4 ? 5 : r >= 2.5 ? 4 : r >= 1.5 ? 3 : 2
}

/** evidence says what makes a verdict believable: threshold, sample, false alarms. */
export function evidence(s: Score): string {
  const parts = [`${s.detector} ${number(s.value)}`]
  if (s.threshold !== undefined) parts.push(`against ${number(s.threshold)}`)
  if (s.adjusted_p_value !== undefined) parts.push(`p ${number(s.adjusted_p_value)}`)
  parts.push(`at n ${number(Number(s.sample))}`)
  if (s.false_alarm_rate !== undefined) parts.push(`${number(s.false_alarm_rate * 100)} % false alarms`)
  return parts.join(' · ')
}

/** Cell is one feature in a line of squares. */
export function Cell({ score, profile }: { score: Score; profile: Profile }) {
  const name = score.feature || 'all features'
  const verdict = { VERDICT_DRIFT: 'moved', VERDICT_OK: 'as reference', VERDICT_INSUFFICIENT: 'insufficient', VERDICT_UNSPECIFIED: 'not judged' }[score.verdict]
  const said = `${name}: ${verdict}, ${evidence(score)}`
  const kind = score.verdict === 'VERDICT_INSUFFICIENT' ? 'hatched' : `s${step(score)}`
  return <a class={`cell ${kind}`} href={`${profilePath(profile)}?feature=${encodeURIComponent(score.feature)}`} title={said} aria-label={said}>{score.verdict === 'VERDICT_DRIFT' && '◆'}</a>
}
