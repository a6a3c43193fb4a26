import { useEffect, useRef } from 'preact/hooks'
import { colours } from './colours'
import type { TraceSummary } from '../api/types'
import { Status, Swatch } from '../ui/parts'
import { at, count, millis, took } from '../words'

export const orders = ['newest', 'longest', 'errors'] as const
export type Order = (typeof orders)[number]

/** orderOf reads an order of the address. */
export const orderOf = (text: string | undefined): Order => orders.find((o) => o === text) ?? 'newest'

/** ordered puts traces, which come with the newest first, in an order. */
export const ordered = (traces: TraceSummary[], order: Order): TraceSummary[] =>
  order === 'longest' ? traces.toSorted((a, b) => millis(b.duration) - millis(a.duration)) : order === 'errors' ? traces.toSorted((a, b) => b.errors - a.errors) : traces

/** TraceTable lists traces, a line each; they can be put in order and picked, where the
 * deeds are given. */
export function TraceTable({ traces, selected = -1, color = colours(traces.flatMap((t) => [t.root_service, ...t.services])), order = 'newest', inOrder, picked = [], pick }: {
  traces: TraceSummary[]; selected?: number; color?: (service: string) => string; order?: Order; inOrder?: (order: Order) => void; picked?: string[]; pick?: (id: string) => void
}) {
  const head = (by: Order, word: string, right = 'right') => (
    <th class={right} aria-sort={inOrder && order === by ? 'descending' : undefined}>
      {inOrder ? <button class="order" type="button" title={titles[by]} onClick={() => inOrder(by)}>{word}{order === by && <span aria-hidden="true"> ↓</span>}</button> : word}
    </th>
  )
  return (
    <table>
      <thead><tr>{pick && <th />}{head('newest', 'Time', '')}<th>Service and operation</th><th class="wide">Shape</th>{head('longest', 'Duration')}<th class="right wide">Spans</th>{head('errors', 'Errors')}</tr></thead>
      <tbody>{traces.map((t, i) => <Line key={t.trace_id} trace={t} selected={i === selected} color={color} picked={picked.includes(t.trace_id)} pick={pick} />)}</tbody>
    </table>
  )
}

const titles: Record<Order, string> = { newest: 'The newest first', longest: 'The longest first', errors: 'Most errors first' }

function Line({ trace: t, selected, color, picked, pick }: { trace: TraceSummary; selected: boolean; color: (service: string) => string; picked: boolean; pick: ((id: string) => void) | undefined }) {
  const row = useRef<HTMLTableRowElement>(null)
  useEffect(() => { if (selected) row.current?.scrollIntoView({ block: 'nearest' }) }, [selected])
  return (
    <tr ref={row} class={selected ? 'selected' : undefined} aria-selected={selected}>
      {pick && <td class="pick"><input type="checkbox" aria-label={`Pick ${t.trace_id.slice(0, 8)}, ${t.root_service} ${t.root_operation}`} checked={picked} onChange={() => pick(t.trace_id)} /></td>}
      <td class="faint">{at(t.start_time)}</td>
      <td class="name"><Swatch color={color(t.root_service)} /><a class="plain" href={`/traces/${t.trace_id}`} title={`${t.root_service} ${t.root_operation}`}><span class="faint">{t.root_service}</span> {t.root_operation}</a>{!t.has_root && <span class="faint"> (root missing)</span>}</td>
      <td class="wide"><Shape trace={t} color={color} /></td>
      <td class="right"><b>{took(millis(t.duration))}</b></td>
      <td class="right wide">{count(t.spans)}</td>
      <td class="right">{t.errors > 0 && <Status kind="error">{count(t.errors)}</Status>}</td>
    </tr>
  )
}

/** Shape is when each service took part in a trace: those that began first, at most four. */
function Shape({ trace: t, color }: { trace: TraceSummary; color: (service: string) => string }) {
  const whole = millis(t.duration) || 1
  const counts = [...t.service_counts].sort((a, b) => millis(a.offset) - millis(b.offset))
  const said = counts.map((c) => `${c.service} ${count(c.spans)}`).join(', ')
  return (
    <span class="shape" role="img" aria-label={`Services: ${said}`} title={said}>
      {counts.slice(0, 4).map((c) => <i key={c.service} class={color(c.service)} style={{ marginLeft: `${Math.min(99, (100 * millis(c.offset)) / whole)}%`, width: `${Math.max(1, (100 * millis(c.duration)) / whole)}%` }} />)}
    </span>
  )
}
