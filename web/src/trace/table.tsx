import { useEffect, useRef } from 'preact/hooks'
import { colours } from './colours'
import type { TraceSummary } from '../api/types'
import { Status, Swatch } from '../ui/parts'
import { at, count, millis, took } from '../words'

/** TraceTable lists traces, a line each. */
export function TraceTable({ traces, selected = -1, color = colours(traces.flatMap((t) => [t.root_service, ...t.services])) }: { traces: TraceSummary[]; selected?: number; color?: (service: string) => string }) {
  return (
    <table>
      <thead><tr><th>Time</th><th>Service and operation</th><th class="wide">Shape</th><th class="right">Duration</th><th class="right wide">Spans</th><th class="right">Errors</th></tr></thead>
      <tbody>{traces.map((t, i) => <Line key={t.trace_id} trace={t} selected={i === selected} color={color} />)}</tbody>
    </table>
  )
}

function Line({ trace: t, selected, color }: { trace: TraceSummary; selected: boolean; color: (service: string) => string }) {
  const row = useRef<HTMLTableRowElement>(null)
  useEffect(() => { if (selected) row.current?.scrollIntoView({ block: 'nearest' }) }, [selected])
  return (
    <tr ref={row} class={selected ? 'selected' : undefined} aria-selected={selected}>
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
