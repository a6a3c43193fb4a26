// More than fits: a feature that several monitors watch, more features than are shown at
// once, and more alerts than one page of them has.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { accessible, ask, login, narrow, open, seen, stays, until, world } from './lib.mjs'

const tenant = `many-${Date.now().toString(36)}`
const tokenOf = async (of, username) => (await ask(world.empty, '/api/v1/login', { tenant: of, username, password: world.secret })).token
let token

/** entered is a page of a user of the tenant. */
async function entered(t, path) {
  const page = await open(t, world.empty, '/')
  await page.getByRole('button', { name: 'Log in' }).click()
  await login(page, 'ann', world.secret, tenant)
  await seen(page, /^ann · /)
  await page.goto(world.empty + path)
  return page
}

/** made is a profile, of which 400 records are sent. */
async function made(name, features, monitors, value) {
  await ask(world.empty, '/api/v1/profiles', {
    profile: {
      space: 'ml', name, active: true, reference_rows: '1000', monitors,
      features: features.map((f) => ({ name: f, type: 'float', kind: 'FEATURE_KIND_NUMERIC', edges: [2.5, 5, 7.5], counts: ['250', '250', '250', '250'], baseline: { rows: '1000', min: 0, max: 10, mean: 5, std_dev: 2.9 } })),
    },
  }, token)
  await ask(world.empty, '/api/v1/records', { records: Array.from({ length: 400 }, (_, n) => ({ profile: `ml/${name}`, features: { values: features.map((f, i) => ({ name: f, float: value(i, n) })) } })) }, token)
}

/** judged holds them against it, once a minute of it has ended. */
const judged = (name) => until(async () => {
  await fetch(`${world.empty}/api/v1/profiles:run`, { method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` }, body: JSON.stringify({ profile: `ml/${name}` }) })
  const { evaluations } = await ask(world.empty, `/api/v1/scores?profile=ml/${name}&page_size=1`, undefined, token)
  return evaluations[0]?.records === '400'
}, 3)

const features = Array.from({ length: 8 }, (_, i) => `sensor_${i}`)
const noisy = ['noisy', 'loud'] // of 35 monitors each, all of which see the same

before(async () => {
  const admin = await tokenOf('driftmesh', 'admin')
  await ask(world.empty, '/api/v1/tenants', { name: tenant }, admin)
  await ask(world.empty, '/api/v1/users', { tenant, username: 'ann', password: world.secret, admin: true }, admin)
  token = await tokenOf(tenant, 'ann')
  await made('watched', features, [{ name: 'shape', detector: 'psi', threshold: { fixed: 0.25 } }, { name: 'distance', detector: 'jensen_shannon', threshold: { fixed: 0.3 } }], (i, n) => (i === 3 ? 9 : (n % 100) / 10))
  for (const name of noisy) await made(name, ['level'], Array.from({ length: 35 }, (_, i) => ({ name: `watch-${i}`, detector: 'psi', threshold: { fixed: 0.25 } })), () => 9)
  for (const name of ['watched', ...noisy]) await judged(name)
})

describe('many', { concurrency: false }, () => {
  it('monitors of a feature stand beside each other, among more features than are shown at once', async (t) => {
    const page = await entered(t, '/models/ml/watched/0.1.0?feature=sensor_3')
    await page.getByRole('heading', { name: 'ml/watched/0.1.0 has moved in 2 of 16.' }).waitFor()
    const monitors = page.getByRole('group', { name: 'Monitor' })
    const evidence = page.getByRole('group', { name: 'Evidence' })
    await monitors.getByRole('button', { name: 'jensen_shannon' }).click()
    await page.waitForURL(/feature=sensor_3&monitor=distance/)
    await seen(page, /monitor “distance”/)
    await evidence.getByText(/^threshold 0\.3,/).waitFor()
    await monitors.getByRole('button', { name: 'psi' }).focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(/feature=sensor_3&monitor=shape/)
    await evidence.getByText(/^threshold 0\.25,/).waitFor()
    // Both are rows of their own; 12 of the 16 are shown, and what one looks for is found.
    const rows = page.getByRole('region', { name: 'Features', exact: true }).locator('tbody tr')
    assert.equal(await rows.count(), 12)
    assert.equal(await rows.filter({ hasText: 'sensor_3' }).count(), 2)
    await stays(page, page.getByLabel('Filter features'), { what: 'sensor_7' })
    await page.waitForURL(/like=sensor_7/)
    await until(async () => (await rows.count()) === 2)
    await accessible(page, 'a feature with two monitors')
    await narrow(page, 'a feature with two monitors')
  })

  it('alerts are on pages, each once, in the address', async (t) => {
    let all
    await until(async () => {
      all = (await ask(world.empty, '/api/v1/alerts?page_size=500&open_only=true', undefined, token)).alerts.map((a) => a.id)
      return all.length >= 70
    })
    const rest = all.length - 50
    const page = await entered(t, '/alerts?group=time')
    const rows = page.getByRole('region', { name: 'Open alerts' }).locator('a.alert')
    const ids = () => rows.evaluateAll((links) => links.map((a) => decodeURIComponent(a.href.split('/').at(-1))))
    await until(async () => (await rows.count()) === 50)
    const first = await ids()
    assert.equal(await page.getByRole('button', { name: 'Newest' }).count(), 0)
    await page.getByRole('button', { name: 'Older' }).focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(/after=/)
    await until(async () => (await rows.count()) === rest)
    assert.deepEqual([...first, ...(await ids())], all)
    assert.equal(await page.getByRole('button', { name: 'Older' }).count(), 0)
    await page.reload()
    await until(async () => (await rows.count()) === rest)
    await accessible(page, 'older alerts')
    await page.goBack()
    await until(async () => (await rows.count()) === 50)
    assert.deepEqual(await ids(), first)
    await page.goForward()
    await until(async () => (await rows.count()) === rest)
    await page.getByRole('button', { name: 'Newest' }).click()
    await page.waitForURL((u) => !u.searchParams.has('after'))
    await until(async () => (await rows.count()) === 50)
    await narrow(page, 'alerts')
  })
})
