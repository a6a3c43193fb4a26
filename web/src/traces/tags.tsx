// The field for key=value, which completes both from what is stored.
import { useEffect, useId, useState } from 'preact/hooks'
import { post } from '../api/client'
import type { ListAttributesResponse, TraceQuery } from '../api/types'
import { useTyped } from '../typed'
import { count } from '../words'
import { tagsOf, word } from './query'

interface Offer { text: string; spans: string }

const long = 2000

/** writing is what one is writing at the end of a text: a key, or a value of one. */
export function writing(text: string): { before: string; key: string | null; part: string } {
  if (text.length > long) return { before: text, key: null, part: '' } // nobody writes that by hand
  const value = text.match(/^(.*?)((?:"(?:[^"\\]|\\.)*"|[^\s="]+)=)("?)([^"\s]*|(?<=")[^"]*)$/s)
  if (value) {
    const key = Object.keys(tagsOf(`${value[2]}x`))[0]
    if (key !== undefined) return { before: `${value[1]}${value[2]}`, key, part: value[4] ?? '' }
  }
  const [, before, part] = text.match(/^(.*?)([^\s="]*)$/s) ?? ['', text, '']
  return { before: before ?? '', key: null, part: part ?? '' }
}

export function Tags({ value, query }: { value: string; query: Partial<TraceQuery> }) {
  const id = useId()
  const input = useTyped(value)
  const [text, type] = useState(value)
  const [open, setOpen] = useState(false)
  const [at, move] = useState(-1)
  const [offers, offer] = useState<Offer[]>([])
  const now = writing(text)
  useEffect(() => {
    if (!open) return
    const stop = new AbortController()
    const timer = setTimeout(async () => {
      try {
        const body = now.key === null ? { query, containing: now.part, keys: 12, values: 1 } : { query, key: now.key, containing: now.part, values: 12 }
        const answer = await post<ListAttributesResponse>('/api/v1/attributes:list', body, stop.signal)
        offer(now.key === null
          ? answer.attributes.map((a) => ({ text: a.key, spans: a.spans }))
          : (answer.attributes[0]?.values ?? []).map((v) => ({ text: v.value, spans: v.spans })))
      } catch {
        if (!stop.signal.aborted) offer([]) // one can write without help
      }
      move(-1)
    }, 120)
    return () => {
      clearTimeout(timer)
      stop.abort()
    }
  }, [text, open])
  const take = (o: Offer | undefined) => {
    if (!o) return
    if (!input.current) return
    input.current.value = now.before + word(o.text) + (now.key === null ? '=' : ' ')
    type(input.current.value)
    input.current.focus()
  }
  const press = (e: KeyboardEvent) => {
    const listed = open && offers.length > 0
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault()
      if (!open) return setOpen(true)
      move((i) => Math.max(-1, Math.min(offers.length - 1, i + (e.key === 'ArrowDown' ? 1 : -1))))
    } else if (e.key === 'Enter' && listed && at >= 0) {
      e.preventDefault()
      take(offers[at])
    } else if (e.key === 'Tab' && !e.shiftKey && listed && at >= 0) {
      e.preventDefault()
      take(offers[at])
    } else if (e.key === 'Escape' && open) {
      setOpen(false)
    }
  }
  const listed = open && offers.length > 0
  return (
    <div class="grow tags">
      <label>Tags<input ref={input} id="tags" name="tags" class="mono" autocomplete="off" spellcheck={false} role="combobox" aria-expanded={listed} aria-controls={id} aria-autocomplete="list" aria-activedescendant={listed && at >= 0 ? `${id}-${at}` : undefined}
        placeholder={'http.response.status_code=500 plan="pro"'}
        onInput={(e) => { type(e.currentTarget.value); setOpen(true) }} onKeyDown={press} onFocus={(e) => { type(e.currentTarget.value); setOpen(true) }} onBlur={() => setOpen(false)} /></label>
      <ul id={id} role="listbox" aria-label={now.key === null ? 'Keys' : `Values of ${now.key}`} hidden={!listed}>
        {listed && offers.map((o, i) => (
          <li key={o.text} id={`${id}-${i}`} role="option" aria-selected={i === at} class={i === at ? 'on' : undefined} onMouseDown={(e) => { e.preventDefault(); take(o) }}>
            <span>{o.text || '(empty)'}</span><span class="faint">{count(o.spans)}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}
