// Whoever may write something may write markup. Wherever people read it, it is text.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { ask, login, open, seen, send, span, until, world } from './lib.mjs'

const evil = '<img src=x onerror=alert(1)>"\'><script>alert(2)</script>'
const id = '8b8efff798038103d269b633813fc60c'
const minutesAgo = (n) => new Date(Date.now() - n * 60_000).toISOString()

describe('markup in what is written', { concurrency: false }, () => {
  let as, key
  const call = async (method, path, body) => {
    const answer = await fetch(world.empty + path, { method, headers: { 'Content-Type': 'application/json', Authorization: as }, body: body && JSON.stringify(body) })
    return { status: answer.status, ...(await answer.json()) }
  }
  const made = async (method, path, body) => {
    const answer = await call(method, path, body)
    assert.equal(answer.status, 200, JSON.stringify(answer))
    return answer
  }

  before(async () => {
    const { token } = await ask(world.empty, '/api/v1/login', { tenant: world.tenant, username: world.admin, password: world.secret })
    as = `Bearer ${token}`
    key = (await made('POST', '/api/v1/keys', { name: evil, role: 'ingest' })).key
  })

  /** requireText requires that a page shows the markup as text on each of the addresses. */
  const requireText = async (page, ...paths) => {
    for (const path of paths) {
      await page.goto(world.empty + path)
      await seen(page, '<img src=x').catch((e) => assert.fail(`${path}: ${e.message}`))
      assert.equal(await page.locator('img').count(), 0, path)
      assert.equal(await page.locator('script:not([src])').count(), 0, path)
    }
  }
  const asAnn = async (t) => {
    const page = await open(t, world.empty, '/')
    await page.getByRole('button', { name: 'Log in' }).click()
    await login(page, world.admin, world.secret)
    await seen(page, `${world.admin} · admin`)
    return page
  }

  it('of spans is text on every screen of traces', async (t) => {
    await send(world.otlp, evil, [span(id, evil, {
      attributes: [{ key: evil, value: { stringValue: evil } }], status: { code: 2, message: evil },
      events: [{ timeUnixNano: `${Date.now()}000000`, name: evil, attributes: [{ key: 'exception.message', value: { stringValue: evil } }] }],
    })], { 'X-Api-Key': key })
    const page = await asAnn(t)
    await until(async () => (await call('POST', '/api/v1/traces:search', { query: { trace_ids: [id] } })).traces?.length === 1)
    await requireText(page, '/', '/traces', `/traces?service=${encodeURIComponent(evil)}`, `/traces/${id}?span=${id.slice(0, 16)}`, `/traces/${id}?look=statistics`)
  })

  it('of profiles, records and silences is text on every screen of models', async (t) => {
    const { profile } = await ask(world.demo, '/api/v1/profiles/wine%2Fred')
    const named = structuredClone(profile)
    for (const k of ['uid', 'version', 'create_time', 'outcome', 'groups']) delete named[k]
    named.features = [{ ...named.features[0], name: evil }]
    Object.assign(named, { space: 'evil', name: 'wine', active: true, monitors: [{ name: 'shape', detector: 'psi' }] })
    assert.equal((await call('POST', '/api/v1/profiles', { profile: { ...named, name: evil } })).status, 400, 'what names a profile has an alphabet')
    const profileMade = (await made('POST', '/api/v1/profiles', { profile: named })).profile
    const records = Array.from({ length: 600 }, (_, i) => ({
      id: `${evil} ${i}`, profile: profileMade.uid, event_time: minutesAgo(5), traceparent: `00-${id}-${id.slice(0, 16)}-01`,
      features: { values: [{ name: evil, float: 1e6 + i }] },
    }))
    await made('POST', '/api/v1/records', { records })
    await until(async () => Number((await call('GET', `/api/v1/records?trace_id=${id}`)).records?.length) > 0)
    let alerts
    await until(async () => (alerts = (await call('GET', '/api/v1/alerts')).alerts)?.length > 0)
    await made('POST', '/api/v1/silences', { space: 'evil', profile: 'wine', reason: evil, end_time: new Date(Date.now() + 3_600_000).toISOString() })
    const page = await asAnn(t)
    await requireText(page, '/', '/alerts', `/alerts/${alerts[0].id}`, `/models/evil/wine/${profileMade.version}?feature=${encodeURIComponent(evil)}`,
      `/traces/${id}?span=${id.slice(0, 16)}`)
  })

  it('of messages that are parked, users and keys is text in the pipeline and for administrators', async (t) => {
    const uid = '01a21a35-ff63-7509-9ab9-7d0b5f8c19d6'
    const sent = await fetch(`${world.empty}/scouter/message`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: as },
      body: JSON.stringify({ records: [{ Custom: { created_at: new Date().toISOString(), entity_id: 0, metric: evil, uid, value: 0.5 } }] }),
    })
    assert.equal(sent.status, 200)
    let dead
    await until(async () => (dead = (await call('GET', '/api/v1/dead-letters')).dead_letters)?.length > 0)
    const user = await call('POST', '/api/v1/users', { tenant: world.tenant, username: evil, password: world.secret, role: 'viewer' })
    const page = await asAnn(t)
    await requireText(page, `/pipeline/dead-letters/${dead[0].id}`, '/admin?room=keys')
    if (user.status === 200) await requireText(page, '/admin')
    else assert.equal(user.status, 400)
  })
})
