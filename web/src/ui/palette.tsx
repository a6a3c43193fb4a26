import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { get } from '../api/client'
import { keepAsking } from '../ask'
import { outside } from './help'
import type { ListProfilesResponse, ListServicesResponse } from '../api/types'
import { profilePath } from '../pages/model-parts'
import { may } from '../session'
import { saved } from '../traces/saved'

interface Place { word: string; kind: string; to: string }

/** Palette goes anywhere by what one types, at Ctrl-K: screens, services, models, and a
 * trace by its id. */
export function Palette({ rooms }: { rooms: Place[] }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const { route } = useLocation()
  const [text, type] = useState('')
  const [at, move] = useState(0)
  const [services, learnServices] = useState<Place[]>([])
  const [models, learnModels] = useState<Place[]>([])
  const asking = useRef<{ stop: () => void }[]>([])
  const stop = () => asking.current.splice(0).forEach((a) => a.stop())
  useEffect(() => stop, [])
  const open = () => {
    type('')
    move(0)
    dialog.current?.showModal()
    stop() // what cannot be read is not offered, until it can
    asking.current = [keepAsking(0, servicesOf, learnServices, () => {}), keepAsking(0, modelsOf, learnModels, () => {})]
  }
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      if (e.key !== 'k' || !(e.ctrlKey || e.metaKey)) return
      e.preventDefault()
      open()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
  const trace = text.trim().toLowerCase()
  const found = /^[0-9a-f]{32}$/.test(trace)
    ? [{ word: trace, kind: 'trace', to: `/traces/${trace}` }]
    : [...rooms, ...saved().map((s) => ({ word: s.name, kind: 'saved search', to: `/traces?${s.query}` })), ...services, ...models].filter((p) => p.word.toLowerCase().includes(text.trim().toLowerCase())).slice(0, 12)
  const go = (p: Place | undefined) => {
    if (!p) return
    dialog.current?.close()
    route(p.to)
  }
  const press = (e: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key]
    if (step) {
      e.preventDefault()
      move((i) => Math.max(0, Math.min(found.length - 1, i + step)))
    }
  }
  return (
    <>
      <button class="button quiet" type="button" onClick={open}>Go to <kbd>Ctrl K</kbd></button>
      <dialog ref={dialog} class="help palette" aria-label="Go to" onClick={outside} onClose={stop}>
        <form method="dialog" onSubmit={(e) => { e.preventDefault(); go(found[at]) }}>
          <input aria-label="A screen, a service, a model or the id of a trace" placeholder="A screen, a service, a model or the id of a trace" value={text} onInput={(e) => { type(e.currentTarget.value); move(0) }} onKeyDown={press} />
        </form>
        <ul role="listbox" aria-label="Places">
          {found.map((p, i) => <li key={`${p.kind} ${p.to}`} role="option" aria-selected={i === at} class={i === at ? 'on' : undefined} onClick={() => go(p)}><span>{p.word}</span><span class="faint small">{p.kind}</span></li>)}
        </ul>
        {found.length === 0 && <p class="note">There is no such place.</p>}
      </dialog>
    </>
  )
}

const servicesOf = async (signal: AbortSignal): Promise<Place[]> => (may('traces.read') ? (await get<ListServicesResponse>('/api/v1/services', {}, signal)).services : [])
  .map((s) => ({ word: s, kind: 'service', to: `/traces?service=${encodeURIComponent(s)}` }))

const modelsOf = async (signal: AbortSignal): Promise<Place[]> => (may('profiles.read') ? (await get<ListProfilesResponse>('/api/v1/profiles', { page_size: 1000 }, signal)).profiles : [])
  .map((p) => ({ word: `${p.space}/${p.name}/${p.version}`, kind: 'model', to: profilePath(p) }))
