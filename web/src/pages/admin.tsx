import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { get, post, remove, withQuery } from '../api/client'
import type {
  CreateAPIKeyResponse, CreateTenantResponse, CreateUserResponse, ListAPIKeysResponse, ListEntriesResponse, ListTenantsResponse, ListUsersResponse,
  ResetPasswordResponse, RotateAPIKeyResponse,
} from '../api/types'
import { useAsked } from '../ask'
import { useDeed, type Deed } from '../deed'
import { may, session } from '../session'
import { Card, Copy, Empty, Segments, Shown, Status } from '../ui/parts'
import { useQuery } from '../url'
import { at, count } from '../words'
import { Certificates, Limits, Settings, Verify } from './admin-mesh'

const roles = ['ingest', 'viewer', 'editor', 'operator', 'admin']

const rooms = [
  ['users', 'Users', 'users.read'], ['keys', 'API keys', 'keys.read'], ['limits', 'Limits', 'known.call'], ['tenants', 'Tenants', 'tenants.read'],
  ['certificates', 'Certificates', 'settings.read'], ['settings', 'Settings', 'settings.read'], ['audit', 'Audit', 'audit.read'],
] as const

const ofTheMesh = ['tenants', 'certificates', 'settings']

export function Admin() {
  const [query, set] = useQuery()
  const open = rooms.filter(([, , permission]) => may(permission))
  const room = open.find(([key]) => key === query.room) ?? open[0]
  if (!room || (!query.room && room[0] === 'limits')) return <Card title="Administration"><Empty>Users, keys and the account of who did what are for administrators of the tenant. You are {session.value?.role || session.value?.kind}.</Empty></Card>
  return (
    <>
      <div class="headline">
        <h1>{room[1]} of {ofTheMesh.includes(room[0]) ? 'the mesh' : (session.value?.tenant ?? '')}</h1>
        <span class="space" />
        <Segments label="What" value={room[0]} of={open.map(([key, word]) => [key, word] as const)} choose={(v) => set({ room: v }, true)} />
      </div>
      {{ users: <Users />, keys: <Keys />, limits: <Limits />, tenants: <Tenants />, certificates: <Certificates />, settings: <Settings />, audit: <><Audit />{may('audit.export') && <Verify />}</> }[room[0]]}
    </>
  )
}

/** Said is what came of a deed: a failure, or a secret that is shown this once. */
function Said({ deed, secret, what }: { deed: Deed; secret: string; what: string }) {
  return (
    <>
      {deed.failure && <p class="note" role="alert"><Status kind="error">not done</Status> {deed.failure.message}</p>}
      {secret && <p class="note" role="status"><Status kind="warning">{what}, shown this once</Status> <code>{secret}</code> <Copy text={secret}>Copy</Copy></p>}
    </>
  )
}

/** Form is a row of fields with a button; what is in it stays until it is done. */
function Form({ children, word, busy, send }: { children: ComponentChildren; word: string; busy: boolean; send: (data: Record<string, string>, done: () => void) => void }) {
  return (
    <form class="filters body" onSubmit={(e) => {
      e.preventDefault()
      const form = e.currentTarget
      send(Object.fromEntries([...new FormData(form)].map(([k, v]) => [k, String(v)])), () => form.reset())
    }}>
      {children}
      <button class="button primary" type="submit" disabled={busy}>{word}</button>
    </form>
  )
}

const RoleField = () => <label>Role<select name="role">{roles.map((r) => <option key={r} selected={r === 'viewer'}>{r}</option>)}</select></label>

function Users() {
  const users = useAsked('users', (s) => get<ListUsersResponse>('/api/v1/users', {}, s), 30_000)
  const deed = useDeed()
  const [secret, tell] = useState('')
  const tenant = session.value?.tenant ?? ''
  return (
    <Card title="Users" note="people, and accounts of services">
      {may('users.write') && (
        <Form word="Make" busy={deed.busy} send={(f, done) => deed.run(() => post<CreateUserResponse>('/api/v1/users', { tenant, ...f }), () => { done(); tell(''); users.again() })}>
          <label>Name<input name="username" required autocomplete="off" /></label>
          <label>Password<input name="password" type="password" required autocomplete="new-password" /></label>
          <RoleField />
        </Form>
      )}
      <Said deed={deed} secret={secret} what="A password that is good for choosing another" />
      <Shown of={users} what="Users">
        {(v) => v.users.length === 0 ? <Empty>No user yet.</Empty> : (
          <table>
            <thead><tr><th>Name</th><th>Role</th><th class="wide">Spaces</th><th>State</th><th class="wide">Made</th><th /></tr></thead>
            <tbody>
              {v.users.map((u) => (
                <tr key={u.username}>
                  <td class="name" title={u.username}>{u.username}</td>
                  <td>{may('users.write') ? (
                    <select aria-label={`Role of ${u.username}`} value={u.role} disabled={deed.busy} onChange={(e) => { const role = e.currentTarget.value; deed.run(() => post('/api/v1/users:setRole', { tenant, username: u.username, role, spaces: u.spaces }), users.again) }}>
                      {roles.map((r) => <option key={r} value={r}>{r}</option>)}
                    </select>
                  ) : u.role}</td>
                  <td class="wide faint">{u.spaces.join(', ') || 'all'}</td>
                  <td>{u.disable_time ? <Status kind="insufficient">disabled</Status> : <Status kind="ok">active</Status>}</td>
                  <td class="wide faint">{at(u.create_time)}</td>
                  <td class="right">{may('users.write') && (
                    <span class="tools">
                      <button class="button small" type="button" disabled={deed.busy} onClick={() => deed.run(() => post('/api/v1/users:setDisabled', { tenant, username: u.username, disabled: !u.disable_time }), users.again)}>{u.disable_time ? 'Enable' : 'Disable'}</button>
                      <button class="button small" type="button" disabled={deed.busy} onClick={() => deed.run(() => post<ResetPasswordResponse>('/api/v1/users:resetPassword', { tenant, username: u.username }), (r) => tell(r.password))}>Reset password</button>
                    </span>
                  )}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

function Keys() {
  const keys = useAsked('keys', (s) => get<ListAPIKeysResponse>('/api/v1/keys', {}, s), 30_000)
  const deed = useDeed()
  const [secret, tell] = useState('')
  return (
    <Card title="API keys" note="for programs; each with a role, an end, and when it was last used">
      {may('keys.write') && (
        <Form word="Make" busy={deed.busy} send={(f, done) => deed.run(() => post<CreateAPIKeyResponse>('/api/v1/keys', f), (r) => { done(); tell(r.key); keys.again() })}>
          <label>Name<input name="name" required autocomplete="off" /></label>
          <RoleField />
        </Form>
      )}
      <Said deed={deed} secret={secret} what="The key" />
      <Shown of={keys} what="Keys">
        {(v) => v.api_keys.length === 0 ? <Empty>No key yet.</Empty> : (
          <table>
            <thead><tr><th>Name</th><th>Role</th><th>Ends</th><th class="wide">Last used</th><th class="wide">Made by</th><th /></tr></thead>
            <tbody>
              {v.api_keys.map((k) => (
                <tr key={k.id}>
                  <td class="name" title={k.id}>{k.name}</td><td>{k.role}</td>
                  <td>{k.expire_time ? (Date.parse(k.expire_time) < Date.now() ? <Status kind="insufficient">ended</Status> : at(k.expire_time)) : 'never'}{k.replaced_by && <span class="faint"> replaced</span>}</td>
                  <td class="wide faint">{at(k.last_use_time)}</td><td class="wide faint">{k.created_by}</td>
                  <td class="right">{may('keys.write') && (
                    <span class="tools">
                      <button class="button small" type="button" disabled={deed.busy} onClick={() => deed.run(() => post<RotateAPIKeyResponse>('/api/v1/keys:rotate', { id: k.id }), (r) => { tell(r.key); keys.again() })}>Rotate</button>
                      <button class="button small" type="button" disabled={deed.busy} onClick={() => deed.run(() => remove(`/api/v1/keys/${encodeURIComponent(k.id)}`), keys.again)}>Revoke</button>
                    </span>
                  )}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

function Tenants() {
  const tenants = useAsked('tenants', (s) => get<ListTenantsResponse>('/api/v1/tenants', {}, s), 30_000)
  const deed = useDeed()
  return (
    <Card title="Tenants" note="of the whole mesh">
      {may('tenants.write') && (
        <Form word="Make" busy={deed.busy} send={(f, done) => deed.run(() => post<CreateTenantResponse>('/api/v1/tenants', f), () => { done(); tenants.again() })}>
          <label>Name<input name="name" required autocomplete="off" /></label>
        </Form>
      )}
      <Said deed={deed} secret="" what="" />
      <Shown of={tenants} what="Tenants">
        {(v) => (
          <table>
            <thead><tr><th>Name</th><th>State</th><th>Made</th><th /></tr></thead>
            <tbody>
              {v.tenants.map((t) => (
                <tr key={t.name}>
                  <td class="name"><a href={`/admin?room=limits&tenant=${encodeURIComponent(t.name)}`} title="What it may use">{t.name}</a></td>
                  <td>{t.disable_time ? <Status kind="insufficient">disabled</Status> : <Status kind="ok">active</Status>}</td>
                  <td class="faint">{at(t.create_time)}</td>
                  <td class="right">{may('tenants.write') && <button class="button small" type="button" disabled={deed.busy} onClick={() => deed.run(() => post('/api/v1/tenants:setDisabled', { name: t.name, disabled: !t.disable_time }), tenants.again)}>{t.disable_time ? 'Enable' : 'Disable'}</button>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}

function Audit() {
  const entries = useAsked('audit', (s) => get<ListEntriesResponse>('/api/v1/audit', { page_size: 200 }, s), 15_000)
  return (
    <Card title="Audit" note="who did what, the newest first; each entry carries the hash of the one before" tools={<a class="button small" href={withQuery('/api/v1/audit', { page_size: 1000 })} target="_blank" rel="noreferrer">JSON</a>}>
      <Shown of={entries} what="The account">
        {(v) => v.entries.length === 0 ? <Empty>Nothing was done yet.</Empty> : (
          <table class="dense">
            <thead><tr><th>Time</th><th>Who</th><th>What</th><th class="wide">Object</th><th>Outcome</th><th class="wide">From</th><th class="right wide">Times</th></tr></thead>
            <tbody>
              {v.entries.map((e) => (
                <tr key={e.id}>
                  <td class="faint">{at(e.time)}</td><td class="name">{e.actor || e.kind}</td><td class="name" title={e.action}>{e.action.split('/').pop()}</td><td class="wide name">{e.object}</td>
                  <td>{e.outcome === 'ok' ? <Status kind="ok">done</Status> : <Status kind="error" title={e.reason}>{e.outcome}</Status>}</td>
                  <td class="wide faint">{e.source}</td><td class="right wide">{count(e.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}
