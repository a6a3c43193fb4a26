import { useEffect, useRef } from 'preact/hooks'
import type { TraceSummary } from '../api/types'
import { Status } from '../ui/parts'
import { at, count, millis, took } from '../words'

/** TraceTable lists traces, a line each. */
export function TraceTable({ traces, selected = -1 }: { traces: TraceSummary[]; selected?: number }) {
  return (
    <table>
      <thead><tr><th>Time</th><th>Service and operation</th><th class="wide">Services</th><th class="right">Duration</th><th class="right">Spans</th><th class="right">Errors</th></tr></thead>
      <tbody>{traces.map((t, i) => <Line key={t.trace_id} trace={t} selected={i === selected} />)}</tbody>
    </table>
  )
}

function Line({ trace: t, selected }: { trace: TraceSummary; selected: boolean }) {
  const row = useRef<HTMLTableRowElement>(null)
  useEffect(() => { if (selected) row.current?.scrollIntoView({ block: 'nearest' }) }, [selected])
  return (
    <tr ref={row} class={selected ? 'selected' : undefined} aria-selected={selected}>
      <td class="faint">{at(t.start_time)}</td>
      <td class="name"><a class="plain" href={`/traces/${t.trace_id}`} title={`${t.root_service} ${t.root_operation}`}><span class="faint">{t.root_service}</span> {t.root_operation}</a>{!t.has_root && <span class="faint"> (root missing)</span>}</td>
      <td class="wide faint">{t.services.slice(0, 4).join(', ')}{t.services.length > 4 ? ` and ${t.services.length - 4} more` : ''}</td>
      <td class="right"><b>{took(millis(t.duration))}</b></td>
      <td class="right">{count(t.spans)}</td>
      <td class="right">{t.errors > 0 && <Status kind="error">{count(t.errors)}</Status>}</td>
    </tr>
  )
}

