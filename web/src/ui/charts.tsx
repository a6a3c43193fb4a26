// Small charts, drawn as SVG in the colours of the tokens. Each has a title in words.
import type { BinScore, SeriesPoint } from '../api/types'
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

const W = 720

/** Ticks are round numbers between zero and top. */
function ticks(top: number): number[] {
  if (!(top > 0)) return [0]
  const raw = top / 3
  const size = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map((m) => m * size).find((s) => s >= raw) ?? raw
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) => i * step)
}

/** OverTime draws a score over time under its threshold, which may change with the
 * sample; a diamond is above it, and where there was too little the line is broken. */
export function OverTime({ points, title }: { points: SeriesPoint[]; title: string }) {
  const h = 200
  const left = 52
  const bottom = 24
  const seen = points.filter((p) => p.mean !== undefined)
  const top = Math.max(...seen.map((p) => Math.max(p.max ?? 0, p.threshold ?? 0)), 1e-9) * 1.1
  const from = Date.parse(points[0]?.first_slot ?? '') || 0
  const to = Date.parse(points.at(-1)?.last_slot ?? '') || from + 1
  const x = (t: string | null) => left + ((Date.parse(t ?? '') - from) / Math.max(1, to - from)) * (W - left - 16)
  const y = (v: number) => 8 + (1 - v / top) * (h - bottom - 8)
  const line = seen.map((p, i) => `${i === 0 || points[points.indexOf(p) - 1]?.mean === undefined ? 'M' : 'L'}${x(p.last_slot).toFixed(1)} ${y(p.mean ?? 0).toFixed(1)}`).join('')
  const limit = seen.filter((p) => p.threshold !== undefined).map((p, i) => `${i === 0 ? 'M' : 'L'}${x(p.last_slot).toFixed(1)} ${y(p.threshold ?? 0).toFixed(1)}`).join('')
  return (
    <svg class="chart" viewBox={`0 0 ${W} ${h}`} role="img" aria-label={title}>
      {ticks(top).map((v) => <g key={v}><line class="grid" x1={left} x2={W - 16} y1={y(v)} y2={y(v)} /><text x={left - 8} y={y(v) + 4} text-anchor="end">{number(v)}</text></g>)}
      {limit && <path class="threshold" d={limit} />}
      {line && <path class="line" d={line} />}
      {seen.map((p) => p.verdict === 'VERDICT_DRIFT'
        ? <path key={p.last_slot} class="moved" d={`M${x(p.last_slot)} ${y(p.mean ?? 0) - 5}l5 5-5 5-5-5Z`}><title>{`${at(p.last_slot)}: ${number(p.mean)} against ${number(p.threshold)} at n ${count(p.sample)}`}</title></path>
        : <circle key={p.last_slot} class="dot" cx={x(p.last_slot)} cy={y(p.mean ?? 0)} r="2.500"><title>{`${at(p.last_slot)}: ${number(p.mean)} against ${number(p.threshold)} at n ${count(p.sample)}`}</title></circle>)}
      <text x={left} y={h - 6}>{at(points[0]?.first_slot)}</text>
      <text x={W - 16} y={h - 6} text-anchor="end">{at(points.at(-1)?.last_slot)}</text>
    </svg>
  )
}

/** Pair draws the reference as a grey step and the current values as bars in front; a
 * bin is a button. */
export function Pair({ bins, chosen, choose, title }: { bins: BinScore[]; chosen: number; choose: (i: number) => void; title: string }) {
  const h = 200
  const left = 44
  const bottom = 40
  const top = Math.max(...bins.flatMap((b) => [b.expected, b.observed]), 1e-9) * 1.1
  const wide = (W - left - 8) / Math.max(1, bins.length)
  const y = (v: number) => 8 + (1 - v / top) * (h - bottom - 8)
  return (
    <svg class="chart" viewBox={`0 0 ${W} ${h}`} role="group" aria-label={title}>
      {ticks(top).map((v) => <g key={v}><line class="grid" x1={left} x2={W - 8} y1={y(v)} y2={y(v)} /><text x={left - 6} y={y(v) + 4} text-anchor="end">{percent(v, 0)}</text></g>)}
      {bins.map((b, i) => {
        const x = left + i * wide
        const said = `${b.label}: reference ${percent(b.expected)}, current ${percent(b.observed)}, ${count(b.count)} values, adds ${number(b.contribution)}`
        return (
          <g key={b.label} class={i === chosen ? 'bin chosen' : 'bin'} role="button" tabindex={0} aria-label={said} aria-pressed={i === chosen}
            onClick={() => choose(i)} onKeyDown={(e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); choose(i) } }}>
            <title>{said}</title>
            <rect class="hit" x={x} y={8} width={wide} height={h - 8} />
            <rect class="was" x={x} y={y(b.expected)} width={wide} height={y(0) - y(b.expected)} />
            <rect class="is" x={x + wide * 0.2} y={y(b.observed)} width={wide * 0.6} height={y(0) - y(b.observed)} />
            <rect class={b.contribution > 0 && b.observed > b.expected ? 'gained' : 'lost'} x={x + 1} y={h - bottom + 4} width={wide - 2} height={6} opacity={0.15 + 0.85 * weight(bins, b)} />
            {wide > 34 && <text x={x + wide / 2} y={h - 12} text-anchor="middle">{short(b.label, wide)}</text>}
          </g>
        )
      })}
    </svg>
  )
}

const weight = (bins: BinScore[], b: BinScore): number => Math.abs(b.contribution) / Math.max(...bins.map((o) => Math.abs(o.contribution)), 1e-12)

const short = (label: string, wide: number): string => {
  const room = Math.floor(wide / 6)
  return label.length > room ? `${label.slice(0, Math.max(1, room - 1))}…` : label
}
