import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Failure, get } from '../api/client'
import type { ListProfilesResponse, ListServicesResponse } from '../api/types'
import { useAsked } from '../ask'
import { useKeys } from '../keys'
import { ended, may, session, whenBack, whoami } from '../session'
import { follow, gap, type Question, type Seen } from '../tail'
import { Card, Empty, Segments, Status, Trouble } from '../ui/parts'
import { Typed } from '../typed'
import { useQuery } from '../url'
import { at as moment, count, number, plural, took } from '../words'

/** room is how many rows are kept: of those that are shown, and of those that came while
 * the view stood still. */
const room = 500
const drawn = 250 // ms from one drawing to the next
const over = 5 // seconds that the rate is of

export function Tail() {
  if (!may('tail.read')) {
    return (
      <Card title="Live tail">
        <div class="note trouble"><Status kind="insufficient">Not for this role</Status><p>To watch what arrives asks for the permission <code>tail.read</code>, which {session.value?.role ? `the role ${session.value.role}` : 'this identity'} does not have.</p></div>
      </Card>
    )
  }
  return <Watching />
}

interface State { rows: Seen[]; waiting: Seen[]; passed: number; missed: number; rate: number; open: boolean; failure: Failure | null }

const nothing: State = { rows: [], waiting: [], passed: 0, missed: 0, rate: 0, open: false, failure: null }

function Watching() {
  const [query, set] = useQuery()
  const records = query.signal === 'records'
  const paused = query.pause === '1'
  const question: Question = records
    ? { signal: 'SIGNAL_RECORDS', profile: query.profile ?? '' }
    : { signal: 'SIGNAL_SPANS', service: query.service ?? '', span_name: query.name ?? '' }
  const state = useTail(question, paused)
  const profiles = useAsked('profiles of the tail', async (s) => (may('profiles.read') ? (await get<ListProfilesResponse>('/api/v1/profiles', { page_size: 1000 }, s)).profiles : []))
  const profileOf = new Map(profiles.value?.map((p) => [p.uid, `${p.space}/${p.name}/${p.version}`]))
  useKeys({ p: () => set({ pause: paused ? '' : '1' }), '/': () => document.getElementById('tail-filter')?.focus() })
  return (
    <>
      <div class="headline">
        <h1>Live tail</h1>
        <span role="status" class="small">{state.failure ? <Status kind="warning">not watching: {state.failure.message}</Status> : state.open ? paused ? <Status kind="insufficient">paused</Status> : <Status kind="ok">watching</Status> : <span class="faint">opening…</span>}</span>
        <span class="space" />
        <Segments label="Signal" value={records ? 'records' : 'spans'} of={[['spans', 'Spans'], ['records', 'Records']]} choose={(v) => set({ signal: v === 'spans' ? '' : v })} />
        <button class="button" type="button" aria-pressed={paused} onClick={() => set({ pause: paused ? '' : '1' })}>{paused ? `Go on${state.waiting.length > 0 ? `, ${count(state.waiting.length)} new` : ''}` : 'Pause'} <kbd>p</kbd></button>
      </div>
      <Filters records={records} query={query} set={set} profiles={[...profileOf]} />
      {state.failure && state.failure.status !== 0 && <Trouble of={state.failure} what="What arrives" />}
      <Card title={records ? 'Records' : 'Spans'} note={`${number(Math.round(state.rate * 10) / 10)} /s · the newest ${count(state.rows.length)} of ${count(state.passed)}`}
        tools={state.missed > 0 && <Status kind="warning" title="This view was too slow for them; they are stored all the same">{plural(state.missed, 'message')} dropped</Status>}>
        {state.rows.length === 0 ? <Empty>{state.open ? 'Nothing that matches has arrived since this view was opened. It is about what comes from now on; what is stored is under Traces.' : 'Opening…'}</Empty> : (
          <div class="sideways" tabIndex={0} role="region" aria-label="What arrived, the newest first">
            <Rows rows={state.rows} records={records} profiles={profileOf} known={profiles.since} />
          </div>
        )}
      </Card>
    </>
  )
}

/** Rows are drawn anew when there are others, however often what is around them is. */
function Rows({ rows, records, profiles, known }: { rows: Seen[]; records: boolean; profiles: Map<string, string>; known: number }) {
  return useMemo(() => (
    <table class="dense">
      <thead><tr><th>Arrived</th><th class="wide">{records ? 'Body' : 'Kind'}</th><th>{records ? 'Profile' : 'Service'}</th><th>{records ? 'Record' : 'Name'}</th>{!records && <th class="right">Took</th>}<th>Trace</th></tr></thead>
      <tbody>
        {rows.map((r) => r.what === 'gap' ? (
          <tr key={r.n}><td colSpan={records ? 5 : 6}><Status kind="warning">not watched from {moment(Number(r.from))} to {moment(r.at)}</Status> <span class="faint">What arrived then is stored, and is not here.</span></td></tr>
        ) : (
          <tr key={r.n}>
            <td class="faint">{moment(r.at)}</td><td class="wide faint">{r.what}</td>
            <td class="name" title={r.from}>{profiles.get(r.from) ?? r.from}</td>
            <td class="name" title={r.name}>{r.failed && <Status kind="error">error</Status>} {r.name}</td>
            {!records && <td class="right">{r.took === null ? '–' : took(r.took)}</td>}
            <td>{r.trace ? <a href={`/traces/${r.trace}${r.span ? `?span=${r.span}` : ''}`}><code>{r.trace.slice(0, 8)}</code></a> : <span class="faint">–</span>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  ), [rows, records, known])
}

function Filters({ records, query, set, profiles }: { records: boolean; query: Record<string, string>; set: (change: Record<string, string>, step?: boolean) => void; profiles: [string, string][] }) {
  const services = useAsked('services of the tail', async (s) => (may('traces.read') ? (await get<ListServicesResponse>('/api/v1/services', {}, s)).services : []))
  const submit = (e: Event) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    set(Object.fromEntries([...form].map(([k, v]) => [k, String(v).trim()])), true)
  }
  return (
    <form class="filters" onSubmit={submit} role="search" key={records ? `records ${query.profile}` : 'spans'}>
      {records ? (
        <label class="grow">Profile<select id="tail-filter" name="profile" value={query.profile ?? ''} onChange={(e) => set({ profile: e.currentTarget.value }, true)}>
          <option value="">all</option>
          {query.profile && !profiles.some(([uid]) => uid === query.profile) && <option value={query.profile}>{query.profile}</option>}
          {profiles.map(([uid, name]) => <option key={uid} value={uid}>{name}</option>)}
        </select></label>
      ) : (
        <>
          <label class="grow">Service<Typed value={query.service ?? ''} id="tail-filter" name="service" list="tail-services" placeholder="all" /></label>
          <datalist id="tail-services">{services.value?.map((s) => <option key={s} value={s} />)}</datalist>
          <label class="grow">Span name<Typed value={query.name ?? ''} name="name" placeholder="all" /></label>
          <button class="button primary" type="submit">Filter</button>
        </>
      )}
    </form>
  )
}

/** useTail watches while the component is there. What arrives is drawn some times a
 * second, however much it is. */
function useTail(question: Question, paused: boolean): State {
  const [state, show] = useState({ of: '', ...nothing })
  const still = useRef(paused)
  const draw = useRef(() => {})
  const key = JSON.stringify(question)
  useEffect(() => {
    still.current = paused
    draw.current()
  }, [paused])
  useEffect(() => {
    const stop = new AbortController()
    let now: State = { ...nothing }
    let came: [number, number][] = [] // when, and how many
    let retry: ReturnType<typeof setTimeout> | undefined
    draw.current = () => {
      const since = Date.now() - over * 1000
      came = came.filter(([at]) => at > since)
      if (!still.current && now.waiting.length > 0) now = { ...now, rows: [...now.waiting, ...now.rows].slice(0, room), waiting: [] }
      show({ of: key, ...now, rate: came.reduce((sum, [, n]) => sum + n, 0) / over })
    }
    let lost = 0 // when the last stream ended
    let standing = () => {}
    const watch = () => {
      let before = 0 // of this stream
      follow(question, stop.signal, ({ seen, missed }) => {
        if (seen.length > 0) came.push([Date.now(), seen.length])
        now.waiting = [...seen.toReversed(), ...now.waiting].slice(0, room)
        now.passed += seen.length
        now.missed += Math.max(0, missed - before)
        before = missed
      }, () => {
        now = { ...now, open: true, failure: null }
        if (lost > 0) now.waiting = [gap(lost, Date.now()), ...now.waiting].slice(0, room)
        lost = 0
      }).catch((err: unknown) => {
        if (stop.signal.aborted) return
        if (now.open) lost = Date.now()
        now = { ...now, open: false, failure: err instanceof Failure ? err : new Failure(0, String(err)) }
        if (now.failure?.status === 401) return void renew()
        if (now.failure && [400, 403].includes(now.failure.status)) return
        retry = setTimeout(watch, 3000)
      })
    }
    /** renew goes on with the session's next token, or after the next login. */
    const renew = async () => {
      await whoami()
      if (stop.signal.aborted) return
      if (ended.value) standing = whenBack(watch)
      else retry = setTimeout(watch, 1000)
    }
    watch()
    const timer = setInterval(() => draw.current(), drawn)
    return () => {
      stop.abort()
      clearInterval(timer)
      clearTimeout(retry)
      standing()
      draw.current = () => {}
    }
  }, [key])
  return state.of === key ? state : nothing // of another question nothing is known yet
}
