// What the spans that match have in common, to narrow the search with a click.
import { useState } from 'preact/hooks'
import type { AttributeTally, CountSpansResponse, ListAttributesResponse, NamedTally } from '../api/types'
import type { Asked } from '../ask'
import { Swatch } from '../ui/parts'
import { count } from '../words'
import { tagsOf, textOf, type Change, type Query } from './query'

interface Choice { word: string; n: number; on: boolean; swatch?: string; flip: () => void }

/** Facets lists services, statuses, operations and attributes with how many spans have
 * them. An estimate has "≈" before it. */
export function Facets({ query, set, counted, services, attributes, color }: {
  query: Query; set: Change; counted: CountSpansResponse | undefined; services: CountSpansResponse | undefined; attributes: Asked<ListAttributesResponse>; color: (service: string) => string
}) {
  const [all, showAll] = useState(false)
  const tags = tagsOf(query.tags ?? '')
  const about = counted && counted.sampled > 1
  const named = (list: NamedTally[] | undefined, field: 'service' | 'operation'): Choice[] => chosenFirst(list ?? [], query[field] ?? '').map((t) => ({
    word: t.name, n: Number(t.tally?.spans ?? 0), on: query[field] === t.name, flip: () => set({ [field]: query[field] === t.name ? '' : t.name }, true),
    ...(field === 'service' ? { swatch: color(t.name) } : {}),
  }))
  const errors = Number(counted?.total?.errors ?? 0)
  const rest = Number(counted?.total?.spans ?? 0) - errors
  const status = (value: '1' | '0') => () => set({ errors: query.errors === value ? '' : value }, true)
  const shown = useful(attributes.value, tags)
  const part = attributes.value && attributes.value.looked_at !== attributes.value.spans
  return (
    <aside class="facets" aria-label="Facets">
      <Facet title="Service" of={named(services?.services, 'service')} about={about} more={services?.more_services} />
      <Facet title="Status" about={about} of={!counted ? [] : [{ word: 'error', n: errors, on: query.errors === '1', flip: status('1') }, { word: 'no error', n: rest, on: query.errors === '0', flip: status('0') }]} />
      <Facet title="Operation" of={named(counted?.operations, 'operation')} about={about} more={counted?.more_operations} />
      {shown.slice(0, all ? 30 : 4).map((a) => (
        <Facet key={a.key} title={a.key} about={part} more={a.more_values} of={chosenFirst(a.values.map((v) => ({ name: v.value, spans: v.spans })), tags[a.key]).map((v) => {
          const on = tags[a.key] === v.name
          return {
            word: v.name, n: Number('spans' in v ? v.spans : 0), on,
            flip: () => {
              const { [a.key]: _, ...others } = tags
              set({ tags: textOf(on ? others : { ...tags, [a.key]: v.name }) }, true)
            },
          }
        })} />
      ))}
      {shown.length > 4 && <button class="button small" type="button" aria-expanded={all} onClick={() => showAll(!all)}>{all ? 'Fewer attributes' : `${Math.min(shown.length, 30) - 4} more attributes`}</button>}
      {part && <p class="tiny faint">Attributes: estimates, from {count(attributes.value?.looked_at)} of about {count(attributes.value?.spans)} spans.</p>}
      {attributes.failure && <p class="tiny faint" role="status">Attributes could not be read: {attributes.failure.message}</p>}
    </aside>
  )
}

/** chosenFirst adds what is chosen, where it is not among those that are counted. */
function chosenFirst<T extends { name: string }>(list: T[], chosen: string | undefined): (T | { name: string; tally: null })[] {
  const some = list.slice(0, 6)
  if (!chosen || some.some((t) => t.name === chosen)) return some
  return [list.find((t) => t.name === chosen) ?? { name: chosen, tally: null }, ...some.slice(0, 5)]
}

/** useful are the attributes that tell spans apart: those that one gave as tags first,
 * without ids, of which each span has its own, and what all spans have alike last. */
function useful(of: ListAttributesResponse | undefined, tags: Query): AttributeTally[] {
  const rank = (a: AttributeTally): number => {
    if (a.key in tags) return 0
    if (/^(driftmesh|scouter)\.tag\./.test(a.key)) return 1
    if (/^telemetry\./.test(a.key)) return 5
    return a.values.length > 1 ? 2 : 4
  }
  const ids = (a: AttributeTally): boolean => !(a.key in tags) && (a.values.length === 0 || (a.more_values && Number(a.values[0]?.spans) < 0.02 * Number(a.spans)) || (a.values.length > 1 && Number(a.values[0]?.spans) <= 1))
  return (of?.attributes ?? []).filter((a) => a.key !== 'service.name' && !ids(a)).map((a, i) => ({ a, i })).sort((x, y) => rank(x.a) - rank(y.a) || x.i - y.i).map(({ a }) => a)
}

function Facet({ title, of, about, more }: { title: string; of: Choice[]; about?: boolean | undefined; more?: boolean | undefined }) {
  if (of.length === 0) return null
  const most = Math.max(...of.map((c) => c.n), 1)
  return (
    <fieldset>
      <legend title={title}>{title}</legend>
      {of.map((c) => (
        <label key={c.word} class="facet" title={c.word}>
          <input type="checkbox" checked={c.on} onChange={c.flip} />
          {c.swatch && <Swatch color={c.swatch} />}
          <span>{c.word || '(empty)'}</span>
          <b>{about ? '≈ ' : ''}{count(c.n)}</b>
          <i style={{ width: `${(100 * c.n) / most}%` }} aria-hidden="true" />
        </label>
      ))}
      {more && <p class="tiny faint">and more</p>}
    </fieldset>
  )
}
