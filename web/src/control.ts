// Control charts of what was counted: means of steps of time against the reference.
import type { FeatureProfile, StepSummary } from './api/types'
import type { Drawn } from './ui/charts'

// Western Electric's rules: hits of the last so many points beyond so many sigmas, on
// the side of the newest, which belongs to them.
const rules = [
  { hits: 1, of: 1, sigma: 3, word: '1 beyond 3 σ' },
  { hits: 2, of: 3, sigma: 2, word: '2 of 3 beyond 2 σ' },
  { hits: 4, of: 5, sigma: 1, word: '4 of 5 beyond 1 σ' },
  { hits: 8, of: 8, sigma: 0, word: '8 on one side' },
] as const

export const ruleWords: readonly string[] = rules.map((r) => r.word)

/** broken are the numbers of the rules that the last of some standardised points
 * completes. */
export function broken(z: readonly number[]): number[] {
  const last = z.at(-1)
  if (last === undefined) return []
  const side = last < 0 ? -1 : 1
  return rules.flatMap((r, i) => {
    const hit = (v: number) => v * side > r.sigma
    return z.length >= r.hits && hit(last) && z.slice(-r.of).filter(hit).length >= r.hits ? [i + 1] : []
  })
}

/** chart standardises the means of a feature by the reference's mean and the standard
 * error that a mean of so many values has: the centre is estimated too. */
export function chart(steps: readonly StepSummary[], feature: FeatureProfile): Drawn[] {
  const base = feature.baseline
  if (!base || !(base.std_dev > 0)) return []
  const reference = Number(base.rows) - Number(base.missing) - Number(base.nan) - Number(base.positive_infinite) - Number(base.negative_infinite)
  const z: number[] = []
  return steps.flatMap((step) => {
    const f = step.features.find((o) => o.name === feature.name)
    const n = Number(f?.number ?? 0)
    if (!f || n === 0) return []
    z.push((f.mean - base.mean) / (base.std_dev * Math.sqrt(1 / n + 1 / Math.max(1, reference))))
    return [{ time: step.start_time, n, mean: f.mean, sd: f.std_dev, z: z.at(-1) ?? 0, rules: broken(z) }]
  })
}
