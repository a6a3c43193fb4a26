import { useEffect } from 'preact/hooks'
import { ErrorBoundary, lazy, LocationProvider, Route, Router, useLocation } from 'preact-iso'
import { away, gone } from './api/client'
import { books } from './ledger'
import { useLedger, useOpenAlerts } from './live'
import { Login } from './pages/login'
import { Overview } from './pages/overview'
import { ended, entering, identity, logout, may, session, trouble, whoami } from './session'
import { theme, type Theme } from './theme'
import { Icon, type IconName } from './ui/icon'
import { Skeleton, Status, Trouble } from './ui/parts'
import { useKeys } from './keys'
import { own, rangeKey, ranges, useQuery } from './url'
import { at, count, since, utc } from './words'
import { Help } from './ui/help'
import { Missing, Safe } from './ui/safe'
import { Palette } from './ui/palette'

/** screen is a part of the program that is loaded when it is needed. */
const screen = <T,>(load: () => Promise<T>) => lazy(() => load().catch(() => Missing as T))

const Traces = screen(() => import('./pages/traces').then((m) => m.Traces))
const TracePage = screen(() => import('./pages/trace').then((m) => m.TracePage))
const Compare = screen(() => import('./pages/compare').then((m) => m.Compare))
const Models = screen(() => import('./pages/models').then((m) => m.Models))
const Model = screen(() => import('./pages/model').then((m) => m.Model))
const Backtest = screen(() => import('./pages/backtest').then((m) => m.Backtest))
const Alerts = screen(() => import('./pages/alerts').then((m) => m.Alerts))
const AlertPage = screen(() => import('./pages/alert').then((m) => m.AlertPage))
const ServiceMap = screen(() => import('./pages/map').then((m) => m.ServiceMap))
const Tail = screen(() => import('./pages/tail').then((m) => m.Tail))
const Pipeline = screen(() => import('./pages/pipeline').then((m) => m.Pipeline))
const Admin = screen(() => import('./pages/admin').then((m) => m.Admin))
const DeadLetter = screen(() => import('./pages/deadletter').then((m) => m.DeadLetter))

export function App() {
  useEffect(() => void whoami(), [])
  useEffect(() => {
    if (!away(trouble.value)) return
    const timer = setTimeout(() => void whoami(), 3000)
    return () => clearTimeout(timer)
  }, [trouble.value])
  if (trouble.value && !session.value) return <main class="alone"><Trouble of={trouble.value} what="Who you are" again={() => void whoami()} /></main>
  if (session.value === undefined) return <main class="alone"><Skeleton /></main>
  if (session.value === null) return <Login />
  // Whoever logs in again goes on where the session ended, with what was typed; another begins anew.
  const asked = ended.value || entering.value
  return (
    <>
      {asked && <Login />}
      <div hidden={asked}>
        <LocationProvider key={identity.value}>
          <ErrorBoundary>
            <Shell />
          </ErrorBoundary>
        </LocationProvider>
      </div>
    </>
  )
}

const rooms: readonly (readonly [string, string, IconName, string])[] = [
  ['/', 'Overview', 'overview', 'o'],
  ['/traces', 'Traces', 'traces', 't'],
  ['/map', 'Map', 'map', 'k'],
  ['/models', 'Models', 'models', 'm'],
  ['/alerts', 'Alerts', 'alerts', 'a'],
  ['/pipeline', 'Pipeline', 'pipeline', 'p'],
  ['/tail', 'Tail', 'tail', 'l'],
  ['/admin', 'Admin', 'admin', 'd'],
]

const roomOf = (path: string) => path === '/compare' ? rooms[1] : rooms.find(([to]) => (to === '/' ? path === '/' : path.startsWith(to)))

function Shell() {
  const { path, url, route } = useLocation()
  const asked = ended.value || entering.value
  const narrow = path === '/map' || /^\/traces\/./.test(path)
  useKeys(Object.fromEntries(rooms.map(([to, , , key]) => [`g ${key}`, () => route(to)])))
  useEffect(() => {
    if (!asked) document.title = `${roomOf(path)?.[1] ?? 'Nowhere'} · driftmesh`
  }, [path, asked])
  return (
    <div class={narrow ? 'app narrow' : 'app'}>
      <a class="skip" href="#main">Skip to content</a>
      <Rail path={path} />
      <div class="page">
        <Bar path={path} />
        <div role="status">{gone.value && <p class="gone"><Status kind="warning">The gateway does not answer</Status> What is here is as it was. It is asked again by itself.</p>}</div>
        <main id="main" tabIndex={-1}>
          {read(path) === null ? <Nowhere /> : <Safe at={url}><Router>
            <Route path="/" component={Overview} />
            <Route path="/traces" component={Traces} />
            <Route path="/traces/:id" component={TracePage} />
            <Route path="/compare" component={Compare} />
            <Route path="/models" component={Models} />
            <Route path="/models/:space/:name/:version" component={Model} />
            <Route path="/models/:space/:name/:version/backtest" component={Backtest} />
            <Route path="/alerts" component={Alerts} />
            <Route path="/alerts/:id" component={AlertPage} />
            <Route path="/map" component={ServiceMap} />
            <Route path="/tail" component={Tail} />
            <Route path="/pipeline" component={Pipeline} />
            <Route path="/pipeline/dead-letters/:id" component={DeadLetter} />
            <Route path="/admin" component={Admin} />
            <Route default component={Nowhere} />
          </Router></Safe>}
        </main>
      </div>
      <Help />
    </div>
  )
}

/** read is a path as one reads it; null for one that cannot be. */
function read(path: string): string | null {
  try {
    return decodeURIComponent(path)
  } catch {
    return null
  }
}

function Nowhere() {
  return <section class="note"><h1>There is nothing at this address.</h1><p><a href="/">To the overview</a></p></section>
}

function Rail({ path }: { path: string }) {
  return (
    <nav class="rail" aria-label="Main">
      <a class="logo" href="/" aria-label="driftmesh"><Mark /><span>driftmesh</span></a>
      {rooms.map(([to, word, icon]) => {
        const on = roomOf(path)?.[0] === to
        return (
          <a key={to} class={on ? 'room on' : 'room'} href={to} aria-current={on ? 'page' : undefined} title={word}>
            <Icon name={icon} />
            <span>{word}</span>
            {to === '/alerts' && may('alerts.read') && <Open />}
          </a>
        )
      })}
      <span class="space" />
      {may('ledger.read') && <Books />}
      <Who />
    </nav>
  )
}

/** Open is how many alerts are. */
function Open() {
  const open = useOpenAlerts().value?.alerts.length ?? 0
  return open > 0 ? <b class="open" aria-label={`${open} open`}>{open}</b> : null
}

function Mark() {
  return (
    <svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true" class="mark">
      <path class="was" d="M2 14.500c2.500 0 3-9 6-9s3.500 9 6 9" />
      <path class="is" d="M6 14.500c2.500 0 3-9 6-9s3.500 9 6 9" />
    </svg>
  )
}

/** Books says on every screen whether everything that was accepted is accounted for. */
function Books() {
  const ledger = useLedger()
  if (!ledger.value) return null
  const accepted = ledger.value.accounts.reduce((sum, a) => sum + BigInt(a.accepted), 0n)
  const missing = ledger.value.accounts.reduce((sum, a) => sum + BigInt(a.missing_messages), 0n)
  const state = books(ledger.value.accounts)
  return (
    <a class={state === 'missing' ? 'books wrong' : 'books'} href="/pipeline" title="accepted = stored + duplicate + rejected + sampled + dead letters + in flight">
      <b><Icon name={state === 'missing' ? 'error' : 'ok'} size={13} /><span>{state === 'missing' ? 'Books do not balance' : 'Books balance'}</span></b>
      <span>{state === 'missing' ? `${count(missing.toString())} messages missing` : ledger.failure ? `as of ${at(ledger.since)}` : `${count(accepted.toString())} accepted`}</span>
    </a>
  )
}

function Who() {
  const who = session.value
  if (!who) return null
  const name = who.subject || who.kind
  return (
    <div class="who">
      <i class="initials" aria-hidden="true">{who.tenant.slice(0, 2).toUpperCase()}</i>
      <span>{who.tenant}<br /><span class="faint tiny">{[name, who.role].filter(Boolean).join(' · ')}</span></span>
      {who.kind === 'user' && <button class="quiet tiny" type="button" onClick={() => void logout()}>Log out</button>}
      {who.kind === 'anonymous' && <button class="quiet tiny" type="button" onClick={() => (entering.value = true)}>Log in</button>}
    </div>
  )
}

function Bar({ path }: { path: string }) {
  const [query, set] = useQuery()
  const parts = path.split('/').filter(Boolean)
  const room = roomOf(path)
  const ranged = path === '/' || path === '/traces' || path === '/map' || path.startsWith('/models')
  return (
    <div class="bar">
      <div class="crumbs">
        {parts.length > 1 && room ? <><a href={room[0]}>{room[1]}</a><span aria-hidden="true">/</span><b>{(read(parts.slice(1).join('/')) ?? '').slice(0, 60)}</b></> : <b>{room?.[1] ?? ''}</b>}
      </div>
      <span class="space" />
      <Palette rooms={rooms.map(([to, word]) => ({ word, kind: 'screen', to }))} />
      {ranged && (
        <select aria-label="Time" value={own(query) ? 'own' : rangeKey(query, path === '/traces' || path === '/map' ? '1h' : '24h')} onChange={(e) => set({ range: e.currentTarget.value, start: '', end: '' })}>
          {own(query) && <option value="own">Chosen time</option>}
          {ranges.map(([key, word]) => <option key={key} value={key}>{word}</option>)}
        </select>
      )}
      <button class="button quiet" type="button" aria-pressed={since.value} onClick={() => (since.value = !since.value)} title="Moments by the clock, or by how long ago they are">{since.value ? 'Relative' : 'Absolute'}</button>
      <button class="button quiet" type="button" aria-pressed={utc.value} onClick={() => (utc.value = !utc.value)} title="Times in UTC or as here">{utc.value ? 'UTC' : 'Local time'}</button>
      <select aria-label="Theme" value={theme.value} onChange={(e) => (theme.value = e.currentTarget.value as Theme)}>
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </div>
  )
}
