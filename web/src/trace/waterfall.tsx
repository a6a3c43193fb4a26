// The waterfall: only the rows that are seen exist, so that 50,000 spans scroll as 50 do.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { may } from '../session'
import { Icon } from '../ui/icon'
import { took } from '../words'
import { topicOf, type Row, type Trace } from './model'

const rowHeight = 26
const beyond = 12 // rows above and below what is seen

export interface Window { from: number; to: number } // milliseconds from the start

interface Props {
  trace: Trace
  rows: Row[] // those that are not folded away
  folded: Set<number>
  fold: (row: Row) => void
  selected: Row | null
  select: (row: Row) => void
  path: boolean // whether the critical path is drawn
  window: Window
  marked: Set<Row> | null // what was looked for
}

export function Waterfall({ rows, folded, fold, selected, select, path, window, marked }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const [top, scroll] = useState(0)
  const [height, size] = useState(600)
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => entry && size(entry.contentRect.height))
    if (box.current) watch.observe(box.current)
    return () => watch.disconnect()
  }, [])
  const place = useMemo(() => new Map(rows.map((r, i) => [r.index, i])), [rows])
  useEffect(() => {
    const i = selected ? place.get(selected.index) : undefined
    const el = box.current
    if (i === undefined || !el) return
    const y = i * rowHeight
    if (y < el.scrollTop) el.scrollTop = y - rowHeight
    else if (y + rowHeight > el.scrollTop + el.clientHeight) el.scrollTop = y + 2 * rowHeight - el.clientHeight
  }, [selected, place])
  const first = Math.max(0, Math.floor(top / rowHeight) - beyond)
  const seen = rows.slice(first, Math.ceil((top + height) / rowHeight) + beyond)
  const marks = [0, 0.25, 0.5, 0.75].map((f) => ({ f, text: took(window.from + f * (window.to - window.from)) }))
  return (
    <div class="waterfall" role="treegrid" aria-label="Spans" aria-rowcount={rows.length}>
      <div role="rowgroup"><div class="scale" role="row">
        <span role="columnheader">Span</span>
        <span role="columnheader" class="times" aria-label="Time">{marks.map((m) => <i key={m.f} style={{ left: `${m.f * 100}%` }}>{m.text}</i>)}</span>
      </div></div>
      <div class="rows" role="rowgroup" ref={box} onScroll={(e) => scroll(e.currentTarget.scrollTop)} tabIndex={0}>
        <div class="sheet" style={{ height: `${rows.length * rowHeight}px` }}>
          <div style={{ transform: `translateY(${first * rowHeight}px)` }}>
            {/* A line that leaves makes room for the one that comes: it is changed, not made anew. */}
            {seen.map((row, i) => <Line key={(first + i) % 512} row={row} folded={folded.has(row.index)} fold={fold} selected={row === selected} select={select} path={path} window={window} marked={marked?.has(row) ?? false} at={place.get(row.index) ?? 0} />)}
          </div>
        </div>
      </div>
    </div>
  )
}

/** placeOf is where a wait's topic is: the mesh's own in the pipeline, for who may see it,
 * others on the map. */
function placeOf(row: Row): string {
  const topic = topicOf(row)
  const mesh = row.scope.startsWith('github.com/driftmesh/')
  return mesh && may('topics.read') ? `/pipeline?topic=${encodeURIComponent(topic)}` : `/map?sel=${encodeURIComponent(`${mesh ? 'tm' : 't'}:${topic}`)}`
}

function Line({ row, folded, fold, selected, select, path, window, marked, at }: { marked: boolean; row: Row; folded: boolean; fold: (r: Row) => void; selected: boolean; select: (r: Row) => void; path: boolean; window: Window; at: number }) {
  const wide = window.to - window.from || 1
  const left = Math.max(0, (row.start - window.from) / wide)
  const right = Math.min(1, (row.start + row.duration - window.from) / wide)
  const bar = ['bar', row.kind === 'dwell' ? 'wait' : row.color, path && row.critical ? 'critical' : ''].join(' ')
  const seen = right >= 0 && left <= 1
  const before = right > 0.85 && left > 0.2 // else the name is there
  return (
    <div class={selected ? 'line selected' : 'line'} role="row" aria-level={row.depth + 1} aria-selected={selected} aria-rowindex={at + 1} aria-expanded={row.children > 0 ? !folded : undefined} onClick={() => select(row)}>
      <span class="what" role="gridcell" style={{ paddingLeft: `${8 + Math.min(row.depth, 24) * 14}px` }}>
        {row.children > 0
          ? <button class="fold" type="button" aria-label={folded ? `Unfold ${row.children} rows` : 'Fold'} onClick={(e) => { e.stopPropagation(); fold(row) }}><Icon name={folded ? 'right' : 'down'} size={12} /></button>
          : <i class="fold" />}
        <i class={`swatch ${row.kind === 'dwell' ? 'wait' : row.color}`} />
        <b class={row.failed ? 'failed' : undefined} title={row.name}>{marked ? <mark>{row.name}</mark> : row.name}</b>
        {row.kind === 'span' && row.service !== row.parent?.service && <span class="faint"> {row.service}</span>}
        {row.kind === 'dwell' && topicOf(row) && <a class="tiny" href={placeOf(row)} title={`To the topic ${topicOf(row)}`} onClick={(e) => e.stopPropagation()}>topic</a>}
        {folded && <span class="faint"> +{row.children}</span>}
      </span>
      <span class="track" role="gridcell">
        {seen && <i class={bar} style={{ left: `${left * 100}%`, width: `${Math.max(0, right - left) * 100}%` }}>{row.failed && '✕'}</i>}
        {seen && <span class={before ? 'took before' : right > 0.85 ? 'took full' : 'took'} style={before ? { right: `${(1 - left) * 100}%` } : { left: `${right * 100}%` }}>{took(row.duration)}</span>}
      </span>
    </div>
  )
}

/** Minimap is the whole trace; a drag across it chooses what the waterfall shows. */
export function Minimap({ trace, window, choose }: { trace: Trace; window: Window; choose: (w: Window) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const from = useRef<number | null>(null)
  useEffect(() => {
    const el = canvas.current
    const c = el?.getContext('2d')
    if (!el || !c) return
    const draw = () => {
      const ratio = devicePixelRatio
      el.width = el.clientWidth * ratio
      el.height = el.clientHeight * ratio
      const style = getComputedStyle(el)
      const color = new Map<string, string>()
      const of = (name: string) => {
        let v = color.get(name)
        if (v === undefined) color.set(name, (v = style.getPropertyValue(name === 'wait' ? '--wait' : name === 'svc-rest' ? '--unknown' : `--${name}`)))
        return v
      }
      const h = Math.min(2 * ratio, el.height / Math.max(1, trace.rows.length))
      for (const row of trace.rows) {
        c.fillStyle = row.failed ? style.getPropertyValue('--bad-fill') : of(row.kind === 'dwell' ? 'wait' : row.color)
        c.fillRect((row.start / (trace.duration || 1)) * el.width, row.index * h, Math.max(ratio, (row.duration / (trace.duration || 1)) * el.width), Math.max(0.5, h * 0.8))
      }
    }
    draw()
    const watch = new ResizeObserver(draw)
    watch.observe(el)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', draw)
    return () => { watch.disconnect(); dark.removeEventListener('change', draw) }
  }, [trace])
  const at = (e: PointerEvent) => {
    const box = (e.currentTarget as HTMLElement).getBoundingClientRect()
    return Math.min(1, Math.max(0, (e.clientX - box.left) / box.width)) * trace.duration
  }
  const whole = trace.duration || 1
  return (
    <div class="minimap" title="Drag to zoom, double click for all"
      onPointerDown={(e) => { from.current = at(e); (e.currentTarget as HTMLElement).setPointerCapture(e.pointerId) }}
      onPointerMove={(e) => { if (from.current !== null) { const to = at(e); if (Math.abs(to - from.current) > whole / 200) choose({ from: Math.min(from.current, to), to: Math.max(from.current, to) }) } }}
      onPointerUp={() => { from.current = null }}
      onDblClick={() => choose({ from: 0, to: whole })}>
      <canvas ref={canvas} aria-hidden="true" />
      <i class="glass" style={{ left: `${(window.from / whole) * 100}%`, width: `${((window.to - window.from) / whole) * 100}%` }} />
    </div>
  )
}
