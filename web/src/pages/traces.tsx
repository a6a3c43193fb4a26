import { useSignal } from '@preact/signals'
import { useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { Failure, get, post } from '../api/client'
import type { ListOperationsResponse, ListServicesResponse, SearchTracesResponse, TraceSummary } from '../api/types'
import { useAsked } from '../ask'
import { useKeys } from '../keys'
import { TraceTable } from '../trace/table'
import { Card, Empty, Shown } from '../ui/parts'
import { rangeOf, useQuery } from '../url'
import { plural } from '../words'

/** attributesOf reads key=value pairs, with quotes around what has blanks in it. */
function attributesOf(text: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [, key, quoted, plain] of text.matchAll(/([^\s=]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g)) {
    if (key) found[key] = quoted !== undefined ? quoted.replace(/\\(.)/g, '$1') : (plain ?? '')
  }
  return found
}

/** durationOf reads "200ms", "1.5s", "2m", or a bare number of milliseconds, as the API
 * has it; undefined for what is none. */
function durationOf(text: string): string | undefined {
  const [, digits, unit] = text.trim().match(/^(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m)?$/) ?? []
  if (digits === undefined) return undefined
  const seconds = Number(digits) * { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60 }[(unit ?? 'ms') as 'ms']
  return `${seconds.toFixed(9).replace(/\.?0+$/, '')}s`
}

function askedFor(query: Record<string, string>) {
  const { start, end } = rangeOf(query, '1h')
  const attributes = attributesOf(query.tags ?? '')
  if (query.errors) attributes.error = 'true'
  return {
    service: query.service ?? '', operation: query.operation ?? '', attributes, start_time: start, end_time: end,
    ...(query.min ? { min_duration: durationOf(query.min) } : {}), ...(query.max ? { max_duration: durationOf(query.max) } : {}),
  }
}

export function Traces() {
  const [query, set] = useQuery()
  const { route } = useLocation()
  const [more, setMore] = useState<{ key: string; rows: TraceSummary[]; next: string; failure: Failure | null }>({ key: '', rows: [], next: '', failure: null })
  const asked = askedFor(query)
  const key = JSON.stringify(asked)
  const page = useAsked(key, (s) => post<SearchTracesResponse>('/api/v1/traces:search', { query: asked, page_size: 50 }, s))
  const pages = more.key === key ? more : null
  const rows = [...(page.value?.traces ?? []), ...(pages?.rows ?? [])]
  const next = pages ? pages.next : page.value?.next_page_token
  const at = useSignal(-1) // and no state: keys may come faster than it is drawn
  useKeys({
    j: () => { at.value = Math.min(at.value + 1, rows.length - 1) },
    k: () => { at.value = Math.max(at.value - 1, 0) },
    Enter: () => { const row = rows[at.value]; if (row) route(`/traces/${row.trace_id}`) },
    '/': () => document.getElementById('tags')?.focus(),
  })
  const load = async () => {
    try {
      const answer = await post<SearchTracesResponse>('/api/v1/traces:search', { query: asked, page_size: 50, page_token: next })
      setMore((old) => ({ key, rows: [...(old.key === key ? old.rows : []), ...answer.traces], next: answer.next_page_token, failure: null }))
    } catch (err) {
      setMore((old) => ({ key, rows: old.key === key ? old.rows : [], next: next ?? '', failure: err as Failure }))
    }
  }
  return (
    <>
      <Filters query={query} set={set} />
      <Card title={page.value ? `${plural(rows.length, 'trace')}${next ? ' so far' : ''}` : 'Traces'} note={page.value ? (next ? 'the newest; there are more' : 'all that match') : ''}>
        <Shown of={page} what="Traces" rows={8}>
          {() => rows.length === 0 ? <Nothing query={query} set={set} /> : (
            <>
              <TraceTable traces={rows} selected={at.value} />
              {pages?.failure && <p class="note" role="alert">{pages.failure.message}</p>}
              {next && <p class="body"><button class="button" type="button" onClick={() => void load()}>Show more</button></p>}
            </>
          )}
        </Shown>
      </Card>
    </>
  )
}

function Filters({ query, set }: { query: Record<string, string>; set: (change: Record<string, string>, step?: boolean) => void }) {
  const services = useAsked('service names', (s) => get<ListServicesResponse>('/api/v1/services', {}, s), 60_000)
  const operations = useAsked(`operations ${query.service ?? ''}`, async (s) => (query.service ? get<ListOperationsResponse>(`/api/v1/services/${encodeURIComponent(query.service)}/operations`, {}, s) : { operations: [], truncated: false }))
  const [wrong, complain] = useState('')
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    const said = Object.fromEntries(['service', 'operation', 'tags', 'min', 'max', 'errors'].map((k) => [k, String(form.get(k) ?? '').trim()]))
    for (const k of ['min', 'max']) if (said[k] && durationOf(said[k]) === undefined) return complain(`${said[k]} is no duration: write 200ms, 1.5s or 2m.`)
    if (said.tags && Object.keys(attributesOf(said.tags)).length === 0) return complain('Tags are key=value, with quotes around blanks: plan="very large".')
    complain('')
    set(said, true)
  }
  return (
    <form class="filters" onSubmit={submit} role="search" key={JSON.stringify(query)}>
      <label>Service<input name="service" list="services" defaultValue={query.service} placeholder="any" /></label>
      <datalist id="services">{services.value?.services.map((s) => <option key={s} value={s} />)}</datalist>
      <label>Operation<input name="operation" list="operations" defaultValue={query.operation} placeholder="any" /></label>
      <datalist id="operations">{operations.value?.operations.map((o) => <option key={`${o.name} ${o.span_kind}`} value={o.name} />)}</datalist>
      <label class="grow">Tags<input id="tags" name="tags" class="mono" defaultValue={query.tags} placeholder={'http.response.status_code=500 plan="pro"'} /></label>
      <label class="short">At least<input name="min" defaultValue={query.min} placeholder="200ms" /></label>
      <label class="short">At most<input name="max" defaultValue={query.max} placeholder="2s" /></label>
      <label class="check"><input type="checkbox" name="errors" value="1" defaultChecked={query.errors === '1'} />Errors only</label>
      <button class="button primary" type="submit">Search</button>
      {wrong && <p class="note wrong" role="alert">{wrong}</p>}
    </form>
  )
}

function Nothing({ query, set }: { query: Record<string, string>; set: (change: Record<string, string>, step?: boolean) => void }) {
  const filters = ['service', 'operation', 'tags', 'min', 'max', 'errors'].filter((k) => query[k])
  return (
    <Empty>
      <p>Nothing matches{filters.length > 0 ? ` ${filters.join(', ')}` : ''} in this time.</p>
      <p>
        {filters.map((k) => <button key={k} class="button small" type="button" onClick={() => set({ [k]: '' }, true)}>Without {k}</button>)}
        <button class="button small" type="button" onClick={() => set({ range: '7d', start: '', end: '' }, true)}>Last 7 days</button>
      </p>
    </Empty>
  )
}
