// Small charts, drawn as SVG in the colours of the tokens. Each has a title in words.
import type { BinScore } from '../api/types'
import { at, count, number, percent } from '../words'

/** Spark is a line from zero, with a dot at its end. */
export function Spark({ values, label }: { values: number[]; label: string }) {
  const w = 64
  const h = 20
  const top = Math.max(...values, 1)
  const x = (i: number) => (values.length < 2 ? w : (i * (w - 4)) / (values.length - 1) + 1)
  const y = (v: number) => h - 2 - (v / top) * (h - 4)
  const line = values.map((v, i) => `${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join(' L')
  const last = values.length - 1
  return (
    <svg class="spark" width={w} height={h} viewBox={`0 0 ${w} ${h}`} role="img" aria-label={`${label}: now ${count(values[last] ?? 0)}, most ${count(top)}`}>
      {values.length > 1 && <path class="soft" d={`M${x(0)} ${h - 2} L${line} L${x(last)} ${h - 2}Z`} />}
      {values.length > 1 && <path class="line" d={`M${line}`} />}
      {values.length > 0 && <circle class="dot" cx={x(last)} cy={y(values[last] ?? 0)} r="2" />}
    </svg>
  )
}

/** Trend is a line of numbers of any size, with a diamond where the last is drift. */
export function Trend({ values, moved, label }: { values: number[]; moved: boolean; label: string }) {
  const w = 84
  const h = 20
  const top = Math.max(...values, 1e-12)
  const low = Math.min(...values, 0)
  const x = (i: number) => (values.length < 2 ? w - 6 : 2 + (i * (w - 8)) / (values.length - 1))
  const y = (v: number) => h - 4 - ((v - low) / (top - low)) * (h - 8)
  const last = values.length - 1
  const end = values[last]
  return (
    <svg class="spark" width={w} height={h} viewBox={`0 0 ${w} ${h}`} role="img" aria-label={`${label}: now ${number(end)}, most ${number(top)}`}>
      {values.length > 1 && <path class="line" d={`M${values.map((v, i) => `${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join('L')}`} />}
      {end !== undefined && (moved ? <path class="moved" d={`M${x(last)} ${y(end) - 4}l4 4-4 4-4-4Z`} /> : <circle class="dot" cx={x(last)} cy={y(end)} r="2" />)}
    </svg>
  )
}

const W = 1000

/** Ticks are round numbers between zero and top. */
export function ticks(top: number): number[] {
  if (!(top > 0)) return [0]
  const raw = top / 3
  const size = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map((m) => m * size).find((s) => s >= raw) ?? raw
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) => i * step)
}

/** Moment is a point of a series: what came of a slot, or of some of them. */
export interface Moment {
  slot: string | null
  value?: number | undefined
  threshold?: number | undefined
  was?: number | undefined // the threshold that there is, where another is tried
  verdict: string
  sample: number
  marked?: boolean // an alert would be raised
}

/** OverTime draws a score over time under its threshold, which may change with the
 * sample; a diamond is above it, where there was too little the line is broken and the
 * ground hatched, and bars below say how many values there were. */
export function OverTime({ points, title, cursor = -1, markers }: { points: Moment[]; title: string; cursor?: number; markers?: { slot: string | null; word: string }[] }) {
  const [left, right, h, foot] = [52, W - 16, 190, 244]
  const known = points.filter((p) => p.value !== undefined)
  const top = Math.max(...known.map((p) => Math.max(p.value ?? 0, Math.min(p.threshold ?? 0, 4 * (p.value ?? 0) + 1), p.was ?? 0)), 1e-9) * 1.1
  const most = Math.max(...points.map((p) => p.sample), 1)
  const from = Date.parse(points[0]?.slot ?? '') || 0
  const to = Date.parse(points.at(-1)?.slot ?? '') || from
  const x = (t: string | null) => (to === from ? (left + right) / 2 : left + 44 + ((Date.parse(t ?? '') - from) / (to - from)) * (right - left - 88))
  const y = (v: number) => 8 + (1 - Math.min(v, top) / top) * (h - 8)
  const gaps = points.slice(1).map((p, i) => x(p.slot) - x(points[i]?.slot ?? null)).filter((d) => d > 0)
  const half = Math.max(1.5, Math.min(40, Math.min(...gaps, 80) / 2))
  const line = points.map((p, i) => (p.value === undefined ? '' : `${i === 0 || points[i - 1]?.value === undefined ? 'M' : 'L'}${x(p.slot).toFixed(1)} ${y(p.value).toFixed(1)}`)).join('')
  const steps = (of: (p: Moment) => number | undefined) => points.map((p) => (of(p) === undefined ? '' : `M${(x(p.slot) - half).toFixed(1)} ${y(of(p) ?? 0).toFixed(1)}h${(2 * half).toFixed(1)}`)).join('')
  return (
    <svg class="chart" viewBox={`0 0 ${W} 262`} role="img" aria-label={title}>
      <defs><pattern id="hatched" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="stripe" d="M0 0v5" /></pattern></defs>
      {ticks(top).map((v) => <g key={v}><line class="grid" x1={left} x2={right} y1={y(v)} y2={y(v)} /><text x={left - 8} y={y(v) + 4} text-anchor="end">{number(v)}</text></g>)}
      {points.map((p, i) => (
        <g key={p.slot}>
          {p.verdict === 'VERDICT_INSUFFICIENT' ? <rect class="little" x={x(p.slot) - half} y={8} width={2 * half} height={h - 8} />
            : p.threshold !== undefined && <rect class="chance" x={x(p.slot) - half} y={y(p.threshold)} width={2 * half} height={Math.max(0, h - y(p.threshold))} />}
          <rect class={p.verdict === 'VERDICT_INSUFFICIENT' ? 'few' : 'many'} x={x(p.slot) - half * 0.8} y={foot - (p.sample / most) * 40} width={half * 1.6} height={(p.sample / most) * 40} />
          {i === cursor && <line class="cursor" x1={x(p.slot)} x2={x(p.slot)} y1={8} y2={foot} />}
        </g>
      ))}
      <text x={left - 8} y={foot} text-anchor="end">n</text>
      {steps((p) => p.was) && <path class="threshold was" d={steps((p) => p.was)} />}
      <path class="threshold" d={steps((p) => p.threshold)} />
      {line && <path class="line" d={line} />}
      {known.map((p) => {
        const said = `${at(p.slot)}: ${number(p.value)} against ${number(p.threshold)} at n ${count(p.sample)}`
        return p.verdict === 'VERDICT_DRIFT'
          ? <path key={p.slot} class="moved" d={`M${x(p.slot)} ${y(p.value ?? 0) - 5}l5 5-5 5-5-5Z`}><title>{said}</title></path>
          : <circle key={p.slot} class="dot" cx={x(p.slot)} cy={y(p.value ?? 0)} r="2.500"><title>{said}</title></circle>
      })}
      {markers?.map((m) => <g key={`${m.slot} ${m.word}`}><line class="marker" x1={x(m.slot)} x2={x(m.slot)} y1={8} y2={h} /><text x={x(m.slot) + 3} y={16}>{m.word}</text></g>)}
      <text x={left} y={260}>{at(points[0]?.slot)}</text>
      <text x={right} y={260} text-anchor="end">{at(points.at(-1)?.slot)}</text>
    </svg>
  )
}

/** Pair draws the reference as a grey step and the current values as bars in front, and
 * what each bin adds below; a bin is a button. */
export function Pair({ bins, chosen, choose, title, cursor = -1 }: { bins: BinScore[]; chosen: number; choose: (i: number) => void; title: string; cursor?: number }) {
  const [W, h, left, bottom] = [600, 240, 44, 62]
  const top = Math.max(...bins.flatMap((b) => [b.expected, b.observed]), 1e-9) * 1.12
  const wide = (W - left - 8) / Math.max(1, bins.length)
  const y = (v: number) => 8 + (1 - v / top) * (h - bottom - 8)
  return (
    <svg class="chart" viewBox={`0 0 ${W} ${h}`} role="group" aria-label={title}>
      {ticks(top).map((v) => <g key={v}><line class="grid" x1={left} x2={W - 8} y1={y(v)} y2={y(v)} /><text x={left - 6} y={y(v) + 4} text-anchor="end">{percent(v, 0)}</text></g>)}
      {bins.map((b, i) => {
        const x = left + i * wide
        const said = `${b.label}: reference ${percent(b.expected)}, current ${percent(b.observed)}, ${count(b.count)} values, adds ${number(b.contribution)}`
        return (
          <g key={b.label} class={i === chosen || i === cursor ? 'bin chosen' : 'bin'} role="button" tabindex={0} aria-label={said} aria-pressed={i === chosen}
            onClick={() => choose(i)} onKeyDown={(e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); choose(i) } }}>
            <title>{said}</title>
            <rect class="hit" x={x} y={4} width={wide} height={h - 4} />
            <rect class="was" x={x} y={y(b.expected)} width={wide} height={y(0) - y(b.expected)} />
            <rect class="is" x={x + wide * 0.18} y={y(b.observed)} width={wide * 0.64} height={y(0) - y(b.observed)} />
            <rect class={share(bins, b)} x={x + 1} y={h - bottom + 26} width={wide - 2} height={wide > 52 ? 20 : 8} rx="2" />
          </g>
        )
      })}
      {bins.map((b, i) => { // beside the buttons, whose names say it all
        const x = left + (i + 0.5) * wide
        return (
          <g key={b.label} class="words" aria-hidden="true">
            {wide > 30 && <text x={x} y={y(b.observed) - 4} text-anchor="middle">{(b.observed * 100).toFixed(1)}</text>}
            {wide > 34 && <text x={x} y={h - bottom + 16} text-anchor="middle">{short(b.label, wide)}</text>}
            {wide > 52 && <text class={`on ${share(bins, b)}`} x={x} y={h - bottom + 40} text-anchor="middle">{b.contribution.toFixed(4)}</text>}
          </g>
        )
      })}
      <text x={left} y={h - 2}>adds to the score; sum {bins.reduce((n, b) => n + b.contribution, 0).toFixed(4)}</text>
    </svg>
  )
}

/** share is where a bin stands on the diverging scale: n3 lost most … p3 gained most. */
function share(bins: BinScore[], b: BinScore): string {
  const most = Math.max(...bins.map((o) => Math.abs(o.contribution)), 1e-12)
  const size = Math.ceil(Math.min(1, Math.abs(b.contribution) / most) * 3 - 0.15)
  return size <= 0 ? 'd0' : `${b.observed > b.expected ? 'dp' : 'dn'}${size}`
}

// The upper edge tells a bin from its neighbours.
const short = (label: string, wide: number): string => {
  const room = Math.floor(wide / 6)
  const [, low, high] = label.match(/^\((.+), (.+)[\])]$/) ?? []
  const said = high === '+inf' ? `> ${low}` : (high ?? label)
  return said.length > room ? `${said.slice(0, Math.max(1, room - 1))}…` : said
}

/** Step is a place of an ECDF: where it is, and both shares up to there. */
export interface Step {
  edge: number
  was: number
  is: number
}

/** gapOf is the largest distance of two ECDFs, as their bins know it: the KS statistic. */
export function gapOf(steps: Step[]): { step: Step | undefined; gap: number } {
  const step = steps.toSorted((a, b) => Math.abs(b.was - b.is) - Math.abs(a.was - a.is))[0]
  return { step, gap: step ? Math.abs(step.was - step.is) : 0 }
}

/** Ecdf draws two cumulative shares by value, and where they are furthest apart. */
export function Ecdf({ steps, low, high, title, cursor = -1 }: { steps: Step[]; low: number; high: number; title: string; cursor?: number }) {
  const [w, h, left] = [420, 262, 36]
  const from = Math.min(low, steps[0]?.edge ?? low)
  const to = Math.max(high, steps.at(-1)?.edge ?? high)
  const x = (v: number) => left + ((v - from) / (to - from || 1)) * (w - left - 12)
  const y = (v: number) => 12 + (1 - v) * (h - 40)
  const line = (of: (s: Step) => number) => `M${x(from)} ${y(0)}${steps.map((s) => `L${x(s.edge).toFixed(1)} ${y(of(s)).toFixed(1)}`).join('')}L${x(to)} ${y(1)}`
  const { step, gap } = gapOf(steps)
  const on = steps[cursor]
  const flip = step && x(step.edge) > w / 2
  return (
    <svg class="chart" viewBox={`0 0 ${w} ${h}`} role="img" aria-label={title}>
      {[0, 0.5, 1].map((v) => <g key={v}><line class="grid" x1={left} x2={w - 12} y1={y(v)} y2={y(v)} /><text x={left - 6} y={y(v) + 4} text-anchor="end">{v}</text></g>)}
      <path class="before" d={line((s) => s.was)} />
      <path class="line" d={line((s) => s.is)} />
      {step && gap > 0 && <><line class="gap" x1={x(step.edge)} x2={x(step.edge)} y1={y(step.was)} y2={y(step.is)} />
        <text class="gap" x={x(step.edge) + (flip ? -8 : 8)} y={y((step.was + step.is) / 2)} text-anchor={flip ? 'end' : 'start'}>KS gap {number(gap)}</text>
        <text x={x(step.edge) + (flip ? -8 : 8)} y={y((step.was + step.is) / 2) + 14} text-anchor={flip ? 'end' : 'start'}>at {number(step.edge)}</text></>}
      {on && <line class="cursor" x1={x(on.edge)} x2={x(on.edge)} y1={y(0)} y2={y(1)} />}
      <text x={left} y={h - 6}>{number(from)}</text>
      <text x={w - 12} y={h - 6} text-anchor="end">{number(to)}</text>
    </svg>
  )
}

/** Drawn is a point of a control chart. */
export interface Drawn {
  time: string | null
  n: number
  mean: number
  sd: number
  z: number // standard errors from the centre
  rules: number[] // those that it breaks
}

/** Control draws means in standard errors from the centre, over three zones a side; a
 * diamond with its digit breaks a rule. */
export function Control({ points, title, cursor = -1 }: { points: Drawn[]; title: string; cursor?: number }) {
  const [left, right, h] = [52, W - 52, 220]
  const top = Math.max(4, ...points.map((p) => Math.min(6, Math.abs(p.z)) * 1.15)) // beyond, the number says it
  const x = (i: number) => left + 8 + (points.length < 2 ? (right - left - 16) / 2 : (i / (points.length - 1)) * (right - left - 16))
  const y = (z: number) => h / 2 - (Math.max(-0.9 * top, Math.min(0.9 * top, z)) / top) * (h / 2 - 8)
  return (
    <svg class="chart" viewBox={`0 0 ${W} ${h + 20}`} role="img" aria-label={title}>
      {[3, 2, 1].map((z) => <rect key={z} class={`zone z${z}`} x={left} y={y(z)} width={right - left} height={y(-z) - y(z)} />)}
      {[-3, -2, -1, 0, 1, 2, 3].map((z) => <g key={z}><line class="grid" x1={left} x2={right} y1={y(z)} y2={y(z)} /><text x={right + 6} y={y(z) + 4}>{z === 0 ? 'centre' : `${z > 0 ? '+' : '−'}${Math.abs(z)} σ`}</text></g>)}
      {['C', 'B', 'A'].map((zone, i) => <text key={zone} x={left - 10} y={y(i + 0.5) + 4} text-anchor="end">{zone}</text>)}
      {points.length > 1 && <path class="line" d={`M${points.map((p, i) => `${x(i).toFixed(1)} ${y(p.z).toFixed(1)}`).join('L')}`} />}
      {points.map((p, i) => (
        <g key={p.time}>
          <title>{`${at(p.time)}: mean ${number(p.mean)}, ${number(p.z)} σ, n ${count(p.n)}${p.rules.length > 0 ? `, breaks rule ${p.rules.join(', ')}` : ''}`}</title>
          {p.rules.length > 0
            ? <><path class="moved" d={`M${x(i)} ${y(p.z) - 5}l5 5-5 5-5-5Z`} /><text class="gap" x={x(i)} y={y(p.z) + (p.z >= 0 ? -8 : 17)} text-anchor="middle">{p.rules.join(',')}</text></>
            : <circle class="dot" cx={x(i)} cy={y(p.z)} r="2.500" />}
          {i === cursor && <line class="cursor" x1={x(i)} x2={x(i)} y1={8} y2={h - 8} />}
        </g>
      ))}
      <text x={left} y={h + 16}>{at(points[0]?.time)}</text>
      <text x={right} y={h + 16} text-anchor="end">{at(points.at(-1)?.time)}</text>
    </svg>
  )
}
