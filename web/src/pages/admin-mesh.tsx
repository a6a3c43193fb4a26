// What the mesh runs with: certificates, settings, limits, and whether the account of
// who did what is whole.
import { useState } from 'preact/hooks'
import { get, send } from '../api/client'
import type { Certificate, GetLimitsResponse, Limits as LimitsOf, ListCertificatesResponse, ListSettingsResponse, Setting } from '../api/types'
import { useAsked } from '../ask'
import { follow, type Verdict } from '../audit'
import { useDeed } from '../deed'
import { may, session } from '../session'
import { Export } from '../ui/export'
import { Card, Empty, Shown, Status } from '../ui/parts'
import { Typed } from '../typed'
import { useQuery } from '../url'
import { at, count, plural, took } from '../words'

const day = 86_400_000

/** Expiry says until when a certificate is good, and whether somebody should hurry. */
function Expiry({ of: c }: { of: Certificate }) {
  const left = Date.parse(c.not_after ?? '') - Date.now()
  const life = Date.parse(c.not_after ?? '') - Date.parse(c.not_before ?? '')
  if (left < 0) return <Status kind="error">expired {at(c.not_after)}</Status>
  if (Date.parse(c.not_before ?? '') > Date.now()) return <Status kind="error">not before {at(c.not_before)}</Status>
  return <Status kind={left < Math.min(14 * day, life / 3) ? 'warning' : 'ok'} title={at(c.not_after)}>{took(left)} left</Status>
}

const parts: [Certificate['role'], string, string][] = [
  ['ROLE_OWN', 'Shown by this process', 'read anew when their files change'],
  ['ROLE_AUTHORITY', 'Authorities', 'what they have issued is believed between services'],
  ['ROLE_PEER', 'Shown by other services', 'at the last handshake with this process'],
]

export function Certificates() {
  const asked = useAsked('certificates', (s) => get<ListCertificatesResponse>('/api/v1/certificates', {}, s), 60_000)
  return (
    <Shown of={asked} what="Certificates">
      {(v) => v.certificates.length === 0
        ? <Card title="Certificates"><Empty>This gateway speaks plain text, and so do the services with one another: <code>gateway.tls.cert</code> and <code>mesh.tls.cert</code> are not set. <code>driftmesh certs make</code> makes certificates.</Empty></Card>
        : <>{parts.map(([role, title, note]) => {
            const list = v.certificates.filter((c) => c.role === role).toSorted((a, b) => Date.parse(a.not_after ?? '') - Date.parse(b.not_after ?? ''))
            return list.length > 0 && (
              <Card key={role} title={title} note={note}>
                <div class="scrolls" tabIndex={0} role="region" aria-label={title}>
                  <table class="certificates">
                    <thead><tr><th>Service</th><th>Good for</th><th>Until</th>{role !== 'ROLE_AUTHORITY' && <th class="wide">Names</th>}<th class="wide">Issued by</th>{role !== 'ROLE_PEER' && <th class="wide">Setting, file</th>}</tr></thead>
                    <tbody>
                      {list.map((c) => (
                        <tr key={`${c.service} ${c.setting} ${c.serial}`}>
                          <td class="name" title={`${c.subject}, serial ${c.serial}`}>{c.service}{role === 'ROLE_AUTHORITY' && <span class="faint"> {c.subject}</span>}</td>
                          <td><Expiry of={c} />{c.problem && <> <Status kind="error" title={c.problem}>file not usable</Status></>}</td><td class="faint">{at(c.not_after)}</td>
                          {role !== 'ROLE_AUTHORITY' && <td class="wide name" title={c.names.join(', ')}>{c.names.join(', ') || c.subject}</td>}<td class="wide name faint" title={c.issuer}>{c.issuer}</td>{role !== 'ROLE_PEER' && <td class="wide name faint" title={c.file}>{[c.setting, c.file.split('/').pop()].filter(Boolean).join(' · ')}</td>}
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              </Card>
            )
          })}</>}
    </Shown>
  )
}

// How long things are kept, in words, and the settings that say so.
const kept: [string, string][] = [
  ['trace-store.retention', 'Spans'], ['ingest-worker.retention', 'Records'], ['drift.retention', 'Scores'], ['ingest-worker.dead-letters.retention', 'Dead letters'],
  ['broker.max-age', 'Messages of a topic'], ['broker.max-bytes', 'A topic, at most'], ['drift.keep', 'Alerts that could not be told'],
]

export function Settings() {
  const [query, set] = useQuery()
  const asked = useAsked('settings', (s) => get<ListSettingsResponse>('/api/v1/settings', {}, s))
  const what = query.q ?? ''
  const own = query.own === '1'
  const wanted = (s: Setting) => (!own || s.source !== 'default') && `${s.name} ${s.value} ${s.help}`.toLowerCase().includes(what.toLowerCase())
  return (
    <Shown of={asked} what="Settings" rows={10}>
      {(v) => {
        const list = v.settings.filter(wanted)
        const retention = kept.flatMap(([name, word]) => v.settings.filter((s) => s.name === name).map((s) => [word, s] as const))
        return (
          <>
            {retention.length > 0 && (
              <Card title="How long it is kept" note="0 is for ever; a tenant's share of the store is among its limits">
                <dl class="told all">{retention.map(([word, s]) => <div key={s.name}><dt title={s.help}>{word}</dt><dd>{s.value} <span class="faint tiny">{s.name}</span></dd></div>)}</dl>
              </Card>
            )}
            <Card title="As they are in force" note={`in the gateway's process ${v.instance.slice(0, 8)}, version ${v.version}: the whole mesh in one program, else this gateway's own`}
              tools={<Export name="settings" of={null} rows={() => [['setting', 'value', 'from', 'default'], ...v.settings.map((s) => [s.name, s.value, s.source, s.default_value])]} />}>
              <div class="filters body">
                <label class="grow">Find<Typed value={what} type="search" autocomplete="off" onInput={(e) => set({ q: e.currentTarget.value })} /></label>
                <label class="check"><input type="checkbox" checked={own} onChange={(e) => set({ own: e.currentTarget.checked ? '1' : '' })} />Only those that were set</label>
              </div>
              {list.length === 0 ? <Empty>No setting matches.</Empty> : (
                <div class="scrolls" tabIndex={0} role="region" aria-label="Settings">
                  <table class="dense">
                    <thead><tr><th>Setting</th><th>Value</th><th>From</th><th class="wide">What it is</th></tr></thead>
                    <tbody>
                      {list.map((s) => (
                        <tr key={s.name}>
                          <td class="name" title={s.help}>{s.name}</td><td class="name" title={s.value}>{s.value ? <code>{s.value}</code> : <span class="faint">not set</span>}{s.secret && s.value && <span class="faint tiny"> secret</span>}</td>
                          <td>{s.source === 'default' ? <span class="faint">default</span> : <>{s.source} <span class="faint tiny">{s.default_value && `not ${s.default_value}`}</span></>}</td><td class="wide name faint" title={s.help}>{s.help}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              )}
              <p class="note">{count(list.length)} of {plural(v.settings.length, 'setting')}. Secrets are not told, and of addresses that may hold one no more than scheme, host and path.</p>
            </Card>
          </>
        )
      }}
    </Shown>
  )
}

// Limits with their unit and what they bound, in the order in which they are read.
const limits: [keyof LimitsOf, string, 'bytes' | 'count' | 'seconds'][] = [
  ['ingest_rate', 'Bytes a second, at each gateway', 'bytes'], ['ingest_burst', 'Bytes at once', 'bytes'], ['ingest_items', 'Spans and records a second, at each gateway', 'count'],
  ['ingest_items_burst', 'Spans and records at once', 'count'], ['in_flight', 'Bytes of requests in the memory of a gateway', 'bytes'], ['backlog', 'Bytes on a topic that are not stored yet', 'bytes'],
  ['tails', 'Live tails at a gateway', 'count'], ['profiles', 'Profiles whose schedule is on', 'count'], ['shortest_schedule_seconds', 'Least seconds between two slots of a schedule', 'seconds'],
  ['queries', 'Queries at a time', 'count'], ['query_seconds', 'Seconds of one statement', 'seconds'], ['query_read', 'Bytes that one statement may read', 'bytes'], ['retained', 'Bytes that are kept, unpacked', 'bytes'],
]

// Of what there is, everybody has a share where no more is said.
const shared: (keyof LimitsOf)[] = ['in_flight', 'backlog']

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** inWords is a limit as one says it. */
function inWords(value: string | undefined, unit: 'bytes' | 'count' | 'seconds'): string {
  let n = Number(value ?? 0)
  if (n === 0) return 'none'
  if (unit !== 'bytes') return unit === 'count' ? count(n) : `${count(n)} s`
  let i = 0
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024
  return `${Number(n.toFixed(2))} ${units[i]}`
}

export function Limits() {
  const [query] = useQuery()
  const tenant = query.tenant ?? session.value?.tenant ?? ''
  const asked = useAsked(`limits ${tenant}`, (s) => get<GetLimitsResponse>('/api/v1/limits', { tenant }, s), 30_000)
  const deed = useDeed()
  const change = (name: keyof LimitsOf, value: string, done = () => {}) => deed.run(() => send('PUT', '/api/v1/limits', { tenant, ...(value === '' ? { to_default: [name] } : { limits: { [name]: value } }) }), () => { done(); asked.again() })
  return (
    <Card title={`What ${tenant} may use`} note="heeded everywhere within seconds; none is no limit">
      {deed.failure && <p class="note" role="alert"><Status kind="error">not done</Status> {deed.failure.message}</p>}
      <Shown of={asked} what="Limits">
        {(v) => (
          <table>
            <thead><tr><th>Limit</th><th class="right">Now</th><th>From</th>{may('limits.write') && <th class="right">Change</th>}</tr></thead>
            <tbody>
              {limits.map(([name, word, unit]) => {
                const own = v.overrides?.[name] !== undefined
                return (
                  <tr key={name}>
                    <td class="name" title={word}>{word}<span class="faint tiny wide"> {name.replaceAll('_', '-')}</span></td><td class="right">{shared.includes(name) && !Number(v.limits?.[name] ?? 0) ? 'its share' : inWords(v.limits?.[name], unit)}</td><td>{own ? 'its own' : <span class="faint">the default</span>}</td>
                    {may('limits.write') && (
                      <td>
                        <form class="tools" onSubmit={(e) => { e.preventDefault(); const form = e.currentTarget; change(name, String(new FormData(form).get('value')).trim(), () => form.reset()) }}>
                          <input class="short" name="value" aria-label={`${word}, as a whole number of ${unit === 'count' ? 'pieces' : unit}`} inputMode="numeric" pattern="[0-9]*" placeholder={unit === 'count' ? 'number' : unit} disabled={deed.busy} required />
                          <button class="button small" type="submit" disabled={deed.busy}>Set</button>
                          {own && <button class="button small" type="button" disabled={deed.busy} onClick={() => change(name, '')}>Default</button>}
                        </form>
                      </td>
                    )}
                  </tr>
                )
              })}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

/** Verify follows the whole chain in this browser. */
export function Verify() {
  const deed = useDeed()
  const [way, tell] = useState<Verdict | null>(null)
  const [done, end] = useState(false)
  const able = !!globalThis.crypto?.subtle
  const run = () => {
    end(false)
    tell(null)
    deed.run(async () => follow(await send('GET', '/api/v1/audit:export'), tell), (v) => { tell(v); end(true) })
  }
  return (
    <Card title="Is the account whole?" note="the chain of all tenants: each hash computed anew here, each signature checked">
      <div class="body">
        {!able && <p class="note">Browsers compute hashes only over TLS or on this machine. <code>driftmesh audit verify</code> does the same.</p>}
        <button class="button" type="button" disabled={!able || deed.busy} onClick={run}>Verify</button>
        {deed.failure && <p class="note" role="alert"><Status kind="error">not verified</Status> {deed.failure.message}</p>}
        {deed.busy && way && <p class="note">{plural(way.entries, 'entry', 'entries')} so far</p>}
        {done && way && (way.wrong
          ? <p role="alert"><Status kind="error">The account was changed</Status> {way.wrong} <span class="faint">All {count(way.entries)} before it hold.</span></p>
          : (
            <div role="status">
              <p><Status kind={way.unchecked ? 'warning' : 'ok'}>{way.unchecked ? 'The hashes hold' : 'The chain is whole'}</Status> {plural(way.entries, 'entry', 'entries')}, {plural(way.checkpoints, 'checkpoint')}
                {way.entries > way.signed && `; the last ${count(way.entries - way.signed)} are not signed yet`}{way.unchecked && '; this browser cannot check Ed25519 signatures'}</p>
              <p class="note">Signed by {way.signers.map((s) => <code key={s}>{s} </code>)}: is that the key that you know? What was cut off at the end shows by a checkpoint that was kept elsewhere: <code>driftmesh audit verify --checkpoint FILE</code>.</p>
            </div>
          ))}
      </div>
    </Card>
  )
}
