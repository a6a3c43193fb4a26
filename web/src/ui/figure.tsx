// A chart with what stands behind it: a table, files, and a cursor that keys move.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { Export, type Field } from './export'

/** Column is one of the table behind a chart. */
export interface Column<T> {
  head: string
  of: (row: T, i: number) => Field // as it is, for files
  show?: (row: T, i: number) => string // as one reads it
  text?: boolean // and no number
}

const shown = <T,>(c: Column<T>, row: T, i: number): string => c.show?.(row, i) ?? String(c.of(row, i) ?? '–')

/** Figure draws with where its cursor is, −1 for nowhere. Arrow keys, Home and End move
 * it once the chart has the focus, and what it stands on is said. */
export function Figure<T>({ title, name, note, tools, columns, rows, children }: {
  title: string
  name: string // of files
  note?: ComponentChildren
  tools?: ComponentChildren
  columns: Column<T>[]
  rows: T[]
  children: (cursor: number) => ComponentChildren
}) {
  const [at, move] = useState(-1)
  const cursor = Math.min(at, rows.length - 1)
  const row = rows[cursor]
  const press = (e: KeyboardEvent) => {
    const to = ({ ArrowRight: cursor + 1, ArrowLeft: cursor < 0 ? rows.length - 1 : cursor - 1, Home: 0, End: rows.length - 1, Escape: -1 } as Record<string, number>)[e.key]
    if (to === undefined) return
    e.preventDefault()
    move(e.key === 'Escape' ? -1 : Math.max(0, Math.min(rows.length - 1, to)))
  }
  return (
    <section class="figure" aria-label={title}>
      <div class="head"><h3>{title}{note && <span class="legend">{note}</span>}</h3><span class="space" />{tools}<Export name={name} of=".figure" rows={() => [columns.map((c) => c.head), ...rows.map((r, i) => columns.map((c) => c.of(r, i)))]} /></div>
      <div class="drawing" tabIndex={0} role="group" aria-label={`${title}: ${rows.length} points, read with the arrow keys`} onKeyDown={press}>{children(cursor)}</div>
      <p class="said faint small" aria-live="polite">{row !== undefined && columns.map((c) => `${c.head} ${shown(c, row, cursor)}`).join(' · ')}</p>
      <details>
        <summary>Table</summary>
        <div class="scroll" tabIndex={0} role="group" aria-label={`${title}, as a table`}>
          <table class="dense">
            <thead><tr>{columns.map((c) => <th key={c.head} class={c.text ? undefined : 'right'}>{c.head}</th>)}</tr></thead>
            <tbody>{rows.map((r, i) => <tr key={i}>{columns.map((c) => <td key={c.head} class={c.text ? 'name' : 'right'}>{shown(c, r, i)}</td>)}</tr>)}</tbody>
          </table>
        </div>
      </details>
    </section>
  )
}
