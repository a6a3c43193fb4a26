// How far the readers of topics were behind while this page was open. Nobody else keeps
// it: the broker knows how it is now.
import type { ListTopicsResponse, Topic } from './api/types'
import { Figure } from './ui/figure'
import { at, count, plural } from './words'

/** Behind is how many messages waited at a moment; null where it was not known. */
export interface Behind { at: number; lag: number | null }

const room = 720 // of each topic: an hour of answers
const soon = 15_000 // ms between answers, beyond which nobody looked
const kept = new Map<string, Behind[]>()

/** lagOf is what the readers of a topic have to do; undefined where that is not known. */
export const lagOf = (t: Topic | undefined): string | undefined =>
  !t || t.groups.length === 0 || t.groups.some((g) => !g.known) ? undefined : t.groups.reduce((sum, g) => sum + BigInt(g.total), 0n).toString()

/** remember keeps what an answer says, for as long as the page is open. */
export function remember(answer: ListTopicsResponse): ListTopicsResponse {
  const now = Date.now()
  for (const t of answer.topics) {
    const lag = lagOf(t)
    kept.set(t.name, [...(kept.get(t.name) ?? []), { at: now, lag: lag === undefined ? null : Number(lag) }].slice(-room))
  }
  return answer
}

/** behind is what is kept of a topic, the newest last. */
export const behind = (topic: string): readonly Behind[] => kept.get(topic) ?? []

/** sinceWhen says from when on something is kept of it. */
export const sinceWhen = (points: readonly Behind[]): string => `since ${at(points[0]?.at)}, while this page looked`

/** LagLine draws it by time, broken where nobody looked or it was not known. */
export function LagLine({ points, topic, cursor = -1 }: { points: readonly Behind[]; topic: string; cursor?: number }) {
  const [first, last] = [points[0], points.at(-1)]
  if (!first || !last) return null
  const known = points.flatMap((p) => (p.lag === null ? [] : [p.lag]))
  const top = Math.max(...known, 1)
  const x = (t: number) => (last.at === first.at ? 298 : 2 + ((t - first.at) / (last.at - first.at)) * 296)
  const y = (v: number) => 45 - (v / top) * 41
  const parts: Behind[][] = []
  points.forEach((p, i) => {
    const before = points[i - 1]
    if (p.lag === null) return
    if (!before || before.lag === null || p.at - before.at > soon) parts.push([])
    parts.at(-1)?.push(p)
  })
  const line = (of: Behind[]) => of.map((p) => `${x(p.at).toFixed(1)} ${y(p.lag ?? 0).toFixed(1)}`).join('L')
  const on = points[cursor]
  return (
    <svg class="plot lag" viewBox="0 0 300 48" preserveAspectRatio="none" role="img" aria-label={`Lag of ${topic} ${sinceWhen(points)}: now ${last.lag === null ? 'not known' : count(last.lag)}, most ${known.length > 0 ? count(top) : 'not known'}`}>
      {parts.map((of) => <g key={of[0]?.at}>
        <path class="soft" d={`M${x(of[0]?.at ?? 0).toFixed(1)} 46L${line(of)}L${x(of.at(-1)?.at ?? 0).toFixed(1)} 46Z`} />
        <path class="line" d={`M${line(of)}${of.length === 1 ? 'h1' : ''}`} vector-effect="non-scaling-stroke" />
      </g>)}
      {on && <path class="line" d={`M${x(on.at)} 2V46`} vector-effect="non-scaling-stroke" />}
    </svg>
  )
}

/** Lag is the same with a table behind it. */
export function Lag({ topic, points }: { topic: string; points: readonly Behind[] }) {
  if (points.length === 0) return null
  const most = Math.max(...points.map((p) => p.lag ?? 0))
  return (
    <Figure title="Lag" name={`lag of ${topic}`} rows={[...points]} note={<span class="faint">most {plural(most, 'message')} {sinceWhen(points)}</span>} columns={[
      { head: 'Time', of: (p) => new Date(p.at).toISOString(), show: (p) => at(p.at), text: true },
      { head: 'Lag', of: (p) => p.lag, show: (p) => (p.lag === null ? 'not known' : count(p.lag)) },
    ]}>
      {(cursor) => <LagLine points={points} topic={topic} cursor={cursor} />}
    </Figure>
  )
}
