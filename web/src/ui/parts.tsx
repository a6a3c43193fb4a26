// The parts that screens are made of.
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Asked } from '../ask'
import type { Failure } from '../api/client'
import type { Severity, Verdict } from '../api/types'
import { at } from '../words'
import { Icon, type IconName } from './icon'

export function Card({ title, note, tools, children, label }: { title?: string; note?: ComponentChildren; tools?: ComponentChildren; children: ComponentChildren; label?: string }) {
  return (
    <section class="card" aria-label={label ?? title}>
      {title && (
        <header>
          <h2>{title}</h2>
          {note && <span class="faint small">{note}</span>}
          <span class="space" />
          {tools}
        </header>
      )}
      {children}
    </section>
  )
}

/** Status is always a glyph, a word and a colour. */
export function Status({ kind, children, title }: { kind: 'moved' | 'ok' | 'error' | 'warning' | 'insufficient'; children: ComponentChildren; title?: string }) {
  return (
    <span class={`status ${kind}`} title={title}>
      <Icon name={kind as IconName} size={11} />
      {children}
    </span>
  )
}

export function VerdictOf({ verdict, children }: { verdict: Verdict; children?: ComponentChildren }) {
  switch (verdict) {
    case 'VERDICT_DRIFT': return <Status kind="moved">{children ?? 'moved'}</Status>
    case 'VERDICT_OK': return <Status kind="ok">{children ?? 'as reference'}</Status>
    case 'VERDICT_INSUFFICIENT': return <Status kind="insufficient">{children ?? 'insufficient'}</Status>
    default: return <span class="faint">not judged</span>
  }
}

export const severity = (s: Severity): string => s.replace('SEVERITY_', '').toLowerCase()

export function Swatch({ color }: { color: string }) {
  return <i class={`swatch ${color}`} aria-hidden="true" />
}

/** Skeleton stands for so many rows that are not there yet; nothing for the first
 * moment, which most answers need no longer than. */
export function Skeleton({ rows = 3 }: { rows?: number }) {
  const [seen, show] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => show(true), 150)
    return () => clearTimeout(timer)
  }, [])
  return (
    <div class="skeleton" role="status" aria-busy="true" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => <div key={i} class={seen ? 'bar' : 'bar unseen'} />)}
    </div>
  )
}

/** Trouble says what failed, and what can be done. */
export function Trouble({ of, what, again }: { of: Failure; what: string; again?: () => void }) {
  const denied = of.status === 403
  return (
    <div class="note trouble" role="status">
      <Status kind={denied ? 'insufficient' : 'error'}>{denied ? 'Not for this role' : `${what} could not be read`}</Status>
      <p>{of.message}</p>
      <p class="faint small">
        <code>{[of.reason || of.code || of.status, of.request && `request ${of.request}`].filter(Boolean).join(' · ')}</code>
      </p>
      {again && !denied && <button class="button small" type="button" onClick={again}>Try again</button>}
    </div>
  )
}

/** Shown shows an answer once it is there, says when the newest is missing, and stands
 * for it before. */
export function Shown<T>({ of, what, rows, children }: { of: Asked<T>; what: string; rows?: number; children: (value: T) => ComponentChildren }) {
  if (of.value === undefined) return of.failure ? <Trouble of={of.failure} what={what} again={of.again} /> : <Skeleton rows={rows ?? 3} />
  return (
    <div class={of.failure ? 'shown stale' : 'shown'}>
      {of.failure && <p class="note small" role="status"><Status kind="warning">as of {at(of.since)}</Status> {of.failure.message}</p>}
      {children(of.value)}
    </div>
  )
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="note empty">{children}</div>
}

/** Copy puts a text on the clipboard; one that is large is made when it is asked for. */
export function Copy({ text, children }: { text: string | (() => string); children: ComponentChildren }) {
  const [said, say] = useState('')
  const copy = async () => {
    say((await copied(typeof text === 'string' ? text : text())) ? 'Copied' : 'Not allowed here')
    setTimeout(() => say(''), 1500)
  }
  return <button class="button small" type="button" onClick={() => void copy()} aria-live="polite">{said || children}</button>
}

/** copied puts a text on the clipboard. Over plain text from another machine browsers let
 * no page do so but in the old way. */
async function copied(text: string): Promise<boolean> {
  const clipboard = navigator.clipboard as Clipboard | undefined
  if (clipboard) return clipboard.writeText(text).then(() => true, () => false)
  const before = document.activeElement as HTMLElement | null
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'skip'
  document.body.append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  before?.focus()
  return done
}

export function Segments<T extends string>({ label, value, of, choose }: { label: string; value: T; of: readonly (readonly [T, string])[]; choose: (v: T) => void }) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {of.map(([key, word]) => (
        <button key={key} type="button" aria-pressed={key === value} onClick={() => choose(key)}>{word}</button>
      ))}
    </div>
  )
}
