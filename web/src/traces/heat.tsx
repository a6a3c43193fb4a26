// The map of durations by time, of which one chooses a part with the pointer or by keys.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { CountSpansResponse } from '../api/types'
import { Empty } from '../ui/parts'
import { at, count, plural, took } from '../words'
import { nanosIn, type Brush } from './query'

const left = 54
const top = 6
const high = 13
const levels = 6

interface Cells { columns: number; rows: number; start: number; step: number; bounds: number[] }

/** Part is a part of the map by its cells, the last ones included. */
interface Part { x0: number; x1: number; y0: number; y1: number }

const sorted = (a: [number, number], b: [number, number]): Part => ({ x0: Math.min(a[0], b[0]), x1: Math.max(a[0], b[0]), y0: Math.min(a[1], b[1]), y1: Math.max(a[1], b[1]) })

function brushed(c: Cells, p: Part, end: number): Brush {
  return { start: c.start + p.x0 * c.step, end: Math.min(c.start + (p.x1 + 1) * c.step, end), from: c.bounds[p.y0] ?? 0, to: c.bounds[p.y1 + 1] ?? 0 }
}

const spanOf = (b: Brush): string => `${at(b.start)} to ${at(b.end)}, ${b.to ? `${took(b.from / 1e6)} to ${took(b.to / 1e6)}` : `${took(b.from / 1e6)} and longer`}`

/** said is a brush in words. */
export const said = spanOf

export function Heat({ of, start, end, brush, choose }: { of: CountSpansResponse; start: number; end: number; brush: Brush | null; choose: (b: Brush | null) => void }) {
  const box = useRef<HTMLDivElement>(null)
  const [wide, setWide] = useState(0)
  const [cursor, setCursor] = useState<[number, number] | null>(null)
  const [anchor, setAnchor] = useState<[number, number] | null>(null)
  const [drag, setDrag] = useState<Part | null>(null)
  useEffect(() => {
    if (!box.current) return
    const watch = new ResizeObserver(([e]) => e && setWide(Math.floor(e.contentRect.width)))
    watch.observe(box.current)
    return () => watch.disconnect()
  }, [])
  const step = nanosIn(of.step) / 1e6
  const cells: Cells = {
    columns: Math.max(1, Math.min(of.rows[0]?.spans.length ?? 1, Math.ceil((end - start) / step))), rows: of.rows.length, start, step,
    bounds: [...of.rows.map((r) => nanosIn(r.from)), ...(of.rows.at(-1)?.to ? [nanosIn(of.rows.at(-1)?.to ?? null)] : [])],
  }
  const w = (wide - left) / cells.columns
  const tall = top + cells.rows * high
  const inside = (p: Part): number => of.rows.slice(p.y0, p.y1 + 1).reduce((sum, r) => sum + r.spans.slice(p.x0, p.x1 + 1).reduce((a, b) => a + b, 0), 0)
  const most = Math.max(...of.rows.flatMap((r) => r.spans), 1)
  const drawn = useMemo(() => <Levels of={of} w={w} most={most} columns={cells.columns} />, [of, w])
  if (of.rows.length === 0) return <Empty>No span to draw.</Empty>

  const cellAt = (e: PointerEvent): [number, number] => {
    const r = (e.currentTarget as Element).getBoundingClientRect()
    const clamp = (v: number, n: number) => Math.max(0, Math.min(n - 1, v))
    return [clamp(Math.floor((e.clientX - r.left - left) / w), cells.columns), clamp(cells.rows - 1 - Math.floor((e.clientY - r.top - top) / high), cells.rows)]
  }
  const down = (e: PointerEvent) => {
    if (e.button !== 0) return
    ;(e.currentTarget as Element).setPointerCapture(e.pointerId)
    const c = cellAt(e)
    setAnchor(c)
    setCursor(null)
    setDrag(sorted(c, c))
  }
  const move = (e: PointerEvent) => { if (drag && anchor) setDrag(sorted(anchor, cellAt(e))) }
  const up = () => {
    if (drag) choose(brushed(cells, drag, end))
    setDrag(null)
    setAnchor(null)
  }
  const press = (e: KeyboardEvent) => {
    const by = ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] } as Record<string, [number, number]>)[e.key]
    if (!by && e.key !== 'Enter' && e.key !== 'Escape') return
    e.preventDefault()
    e.stopPropagation()
    if (by) {
      const from = cursor ?? [cells.columns - 1, 0]
      const to: [number, number] = cursor ? [Math.max(0, Math.min(cells.columns - 1, from[0] + by[0])), Math.max(0, Math.min(cells.rows - 1, from[1] + by[1]))] : from
      setCursor(to)
      const since = e.shiftKey ? (anchor ?? from) : to
      setAnchor(since)
      setDrag(sorted(since, to))
    } else if (e.key === 'Enter') {
      if (drag) choose(brushed(cells, drag, end))
      setDrag(null)
    } else if (drag) {
      setDrag(null)
      setCursor(null)
    } else {
      choose(null)
    }
  }
  const shown = drag ? brushed(cells, drag, end) : brush
  const words = drag ? `${spanOf(brushed(cells, drag, end))}: ${plural(inside(drag), 'span')}` : brush ? `Chosen: ${spanOf(brush)}` : ''
  return (
    <div class="heat">
      <div ref={box} class="heat-map" tabIndex={0} role="application" aria-roledescription="map of durations by time" aria-label="Spans by duration and time. Arrow keys move, with Shift they extend, Enter chooses, Escape clears." onKeyDown={press} onBlur={() => { if (!anchor || cursor) setDrag(null) }}>
        {wide > left && (
          <svg width={wide} height={tall + 22} onPointerDown={down} onPointerMove={move} onPointerUp={up} onPointerCancel={() => setDrag(null)} aria-hidden="true">
            {decades(cells).map(([y, ns]) => <g key={y}><line class="grid" x1={left} x2={wide} y1={tall - y * high} y2={tall - y * high} /><text x={left - 8} y={tall - y * high + 4} text-anchor="end">{took(ns / 1e6)}</text></g>)}
            {drawn}
            {moments(cells, end, wide).map(([x, t, anchored]) => <text key={x} x={left + x * (wide - left)} y={tall + 16} text-anchor={anchored}>{clock(t)}</text>)}
            {shown && <Box of={shown} cells={cells} w={w} tall={tall} label={drag ? count(inside(drag)) : ''} />}
          </svg>
        )}
      </div>
      <p class="small faint" role="status">{words}</p>
    </div>
  )
}

/** Levels draws the cells of one colour as one path. */
function Levels({ of, w, most, columns }: { of: CountSpansResponse; w: number; most: number; columns: number }) {
  const paths = Array.from({ length: levels }, () => '')
  of.rows.forEach((r, y) => r.spans.slice(0, columns).forEach((n, x) => {
    if (n === 0) return
    paths[level(n, most) - 1] += `M${(left + x * w).toFixed(1)} ${top + (of.rows.length - 1 - y) * high}h${Math.max(1, w - 1).toFixed(1)}v${high - 1}h${(-Math.max(1, w - 1)).toFixed(1)}Z`
  }))
  return <>{paths.map((d, i) => d && <path key={i} class={`heat-${i + 1}`} d={d} />)}</>
}

const level = (n: number, most: number): number => (most <= 1 ? 3 : 1 + Math.floor(((levels - 1e-6) * Math.log(n)) / Math.log(most)))

/** Legend says what the colours are. */
export function HeatLegend({ of }: { of: CountSpansResponse }) {
  const most = Math.max(...of.rows.flatMap((r) => r.spans), 0)
  if (most === 0) return null
  return (
    <span class="legend heat-legend">1<span aria-hidden="true">{Array.from({ length: levels }, (_, i) => <i key={i} class={`heat-${i + 1}`} />)}</span>{count(most)} a cell, log scale</span>
  )
}

function Box({ of: b, cells, w, tall, label }: { of: Brush; cells: Cells; w: number; tall: number; label: string }) {
  const x = (t: number) => Math.max(0, Math.min(cells.columns, (t - cells.start) / cells.step))
  const y = (ns: number) => {
    const i = cells.bounds.findIndex((bound) => bound >= ns * (1 - 1e-9))
    return i < 0 ? cells.rows : Math.min(i, cells.rows)
  }
  const [x0, x1, y0, y1] = [x(b.start), x(b.end), y(b.from), b.to ? y(b.to) : cells.rows]
  if (x1 <= x0) return null
  const [px, py] = [left + x0 * w, tall - Math.max(y1, y0 + 0.2) * high]
  const [pw, ph] = [(x1 - x0) * w, Math.max(4, (y1 - y0) * high)]
  return (
    <g class="brush">
      <rect x={px - 1} y={py - 1} width={pw + 1} height={ph + 1} rx="3" />
      {[px - 4, px + pw - 4].map((hx) => <rect key={hx} class="handle" x={hx} y={py + ph / 2 - 6} width="7" height="12" rx="2" />)}
      {label && <text x={px + pw / 2} y={Math.max(10, py - 4)} text-anchor="middle">{label}</text>}
    </g>
  )
}

/** decades are the rows that begin at 1, 10, 100 and so on of a unit. */
const decades = (c: Cells): [number, number][] => c.bounds.flatMap((ns, i) => (ns > 0 && Number.isInteger(Math.log10(ns)) ? [[i, ns] as [number, number]] : []))

function moments(c: Cells, end: number, wide: number): [number, number, 'start' | 'middle' | 'end'][] {
  const n = wide < 500 ? 2 : 4
  return Array.from({ length: n + 1 }, (_, i) => [i / n, c.start + ((end - c.start) * i) / n, i === 0 ? 'start' : i === n ? 'end' : 'middle'])
}

const clock = (t: number): string => at(t).replace(/(\d\d:\d\d):\d\d$/, '$1')

/** HeatTable is the map in numbers. */
export function HeatTable({ of, start }: { of: CountSpansResponse; start: number }) {
  const step = nanosIn(of.step) / 1e6
  const lines = lined(of, start, step)
  return (
    <details class="body">
      <summary>Table</summary>
      <div class="heat-table" tabIndex={0} role="region" aria-label="Spans by duration and time, as a table">
        <table class="dense">
          <thead><tr><th>Time</th><th class="right">From</th><th class="right">To</th><th class="right">Spans</th><th class="right">Errors</th></tr></thead>
          <tbody>{lines.slice(0, 500).map((l) => <tr key={`${l.time} ${l.from}`}><td>{at(l.time)}</td><td class="right">{took(l.from / 1e6)}</td><td class="right">{l.to ? took(l.to / 1e6) : '–'}</td><td class="right">{count(l.spans)}</td><td class="right">{count(l.errors)}</td></tr>)}</tbody>
        </table>
      </div>
      {lines.length > 500 && <p class="note">The first 500 of {count(lines.length)} cells; the CSV has all.</p>}
    </details>
  )
}

/** lined are the cells in which there is a span, in the order of time. */
export const lined = (of: CountSpansResponse, start: number, step = nanosIn(of.step) / 1e6): { time: number; from: number; to: number; spans: number; errors: number }[] =>
  of.rows.flatMap((r) => r.spans.flatMap((spans, i) => (spans > 0 ? [{ time: start + i * step, from: nanosIn(r.from), to: r.to ? nanosIn(r.to) : 0, spans, errors: r.errors[i] ?? 0 }] : [])))
    .sort((a, b) => a.time - b.time || a.from - b.from)
