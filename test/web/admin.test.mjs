// What administrators see, and what others do not: sample data, limits, certificates,
// settings without a secret, the account verified, logins at a provider.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { accessible, login, narrow, open, seen, until, world } from './lib.mjs'

async function as(t, tenant, name, path, options) {
  const page = await open(t, world.empty, path, options)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByLabel('Tenant').fill(tenant)
  await page.getByLabel('Name', { exact: true }).fill(name)
  await page.getByLabel('Password').fill(world.secret)
  await page.getByRole('button', { name: 'Log in', exact: true }).click()
  await seen(page, new RegExp(`^${name} · `))
  return page
}

describe('an administrator', { concurrency: false }, () => {
  it('sends sample data into an empty tenant, and sees it; a viewer may not', async (t) => {
    const viewer = await as(t, world.tenant, world.viewer, '/')
    await seen(viewer, 'Sample data can be sent by who may send spans: you are viewer.')
    assert.equal(await viewer.getByRole('button', { name: 'Send sample data' }).count(), 0)
    const page = await as(t, world.tenant, world.admin, '/')
    await accessible(page, 'empty tenant')
    for (const language of ['JavaScript', 'Java', 'Go', 'Python', 'curl']) {
      await page.getByRole('button', { name: language, exact: true }).click()
      assert.match(await page.getByLabel('Line for a record').textContent(), language === 'Go' ? /sdk\.Features/ : /X-Api-Key/)
    }
    await page.getByRole('button', { name: 'Send sample data' }).click()
    await page.getByRole('heading', { name: 'shop POST /checkout' }).waitFor({ timeout: 60_000 })
    await page.getByRole('row', { name: /waits in orders/ }).waitFor()
    await page.getByRole('row', { name: /score sample\/churn/ }).click()
    await seen(page, 'Will customer 1000 stay?')
    await page.getByRole('button', { name: 'Records' }).click()
    await page.getByText('tenure_months').waitFor({ timeout: 30_000 })
    const values = await page.locator('.record .values > div').allInnerTexts()
    assert.deepEqual(values.map((v) => v.split(/\s+/).join(' ')), ['tenure_months int 3', 'monthly_charges float 19.5', 'plan string free'])
  })

  it('gives lines for a first record that work as they stand', async (t) => {
    const page = await as(t, world.tenant, world.admin, '/admin?room=keys')
    await page.getByLabel('Name').fill('first')
    await page.locator('form select[name=role]').selectOption('editor')
    await page.getByRole('button', { name: 'Make' }).click()
    const key = await page.getByRole('status').locator('code').first().textContent()
    // The lines are for the profile ml/churn; another page has them when nothing is there.
    const made = await fetch(`${world.empty}/api/v1/profiles`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Api-Key': key },
      body: JSON.stringify({ profile: { space: 'ml', name: 'churn', reference_rows: '2', features: [{ name: 'tenure_months', kind: 'FEATURE_KIND_NUMERIC', type: 'int', edges: [6], counts: ['1', '1'] }, { name: 'plan', kind: 'FEATURE_KIND_CATEGORY', type: 'string', categories: ['free', 'pro'], counts: ['1', '1'] }] } }),
    })
    assert.equal(made.status, 200)
    const ask = async (path, body) => (await fetch(world.empty + path, { ...(body && { method: 'POST', body: JSON.stringify(body) }), headers: { 'Content-Type': 'application/json', 'X-Api-Key': key } })).json()
    const accepted = async () => Number((await ask('/api/v1/ledger')).accounts.find((a) => a.signal === 'records')?.accepted ?? 0)
    const earlier = await accepted()
    await page.route('**/api/v1/services*', (route) => route.fulfill({ json: { services: [] } }))
    await page.route('**/api/v1/services:measure*', (route) => route.fulfill({ json: { services: [] } }))
    await page.route('**/api/v1/profiles*', (route) => route.fulfill({ json: { profiles: [] } }))
    await page.route('**/api/v1/ledger*', (route) => route.fulfill({ json: { accounts: [] } }))
    await page.goto(world.empty + '/')
    for (const [language, run] of [['curl', ['bash', '-c']], ['Python', ['python3', '-c']], ['JavaScript', ['node', '--input-type=module', '-e']]]) {
      await page.getByRole('button', { name: language, exact: true }).click()
      const line = (await page.getByLabel('Line for a record').textContent()).replace('KEY', key)
      assert.match(String(execFileSync(run[0], [...run.slice(1), line])), /accepted['"]?: ?['"]1['"]/, language)
    }
    const text = async (language, of) => {
      await page.getByRole('button', { name: language, exact: true }).click()
      return (await page.getByLabel(`Line for a ${of}`).textContent()).replace(/\bKEY\b/, key)
    }
    const dir = mkdtempSync(join(tmpdir(), 'first-'))
    t.after(() => rmSync(dir, { recursive: true }))
    writeFileSync(join(dir, 'First.java'), `class First {\n  public static void main(String[] args) throws Exception {\n${await text('Java', 'record')}\n  }\n}\n`)
    assert.match(String(execFileSync('java', [join(dir, 'First.java')])), /accepted['"]?: ?['"]1['"]/, 'Java')
    // In Go, a program around the lines, which is a package of the SDK for as long as it runs.
    const [span, record] = [await text('Go', 'span'), await text('Go', 'record')]
    const said = Object.fromEntries(span.split('\n')[0].replace('// ', '').split(' ').map((pair) => pair.split('=')))
    assert.equal(record.split('\n')[0], span.split('\n')[0], 'the lines say the same of the environment')
    writeFileSync(join(dir, 'main.go'), `package main

import (
	"context"
	"log"

	"github.com/driftmesh/driftmesh/sdk"
)

func pay(context.Context) error { return nil }

func run(ctx context.Context) error {
	${span}
	if err != nil {
		return err
	}
	return func() error {
		${record}
		return err
	}()
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
`)
    const sdk = fileURLToPath(new URL('../../sdk', import.meta.url))
    writeFileSync(join(dir, 'overlay.json'), JSON.stringify({ Replace: { [join(sdk, 'first', 'main.go')]: join(dir, 'main.go') } }))
    execFileSync('go', ['run', '-overlay', join(dir, 'overlay.json'), './first'], { cwd: sdk, env: { ...process.env, ...said } })
    await until(async () => (await ask('/api/v1/traces:search', { query: { service: 'checkout', operation: 'pay' } })).traces?.length === 1)
    await until(async () => (await accepted()) === earlier + 5) // one of each language
  })

  it('of the mesh sees certificates and settings in force, and no secret', async (t) => {
    const page = await as(t, 'driftmesh', 'admin', '/admin?room=certificates')
    for (const service of ['auth', 'gateway', 'drift', 'trace-store', 'ingest-worker']) {
      await page.getByRole('region', { name: 'Shown by this process' }).getByRole('row', { name: new RegExp(`^${service} .* left`) }).waitFor()
    }
    await page.getByRole('region', { name: 'Authorities' }).getByRole('row', { name: /CN=driftmesh CA/ }).waitFor()
    await page.getByRole('region', { name: 'Shown by other services' }).getByRole('row', { name: /^auth .* left/ }).waitFor()
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByRole('row', { name: /^gateway\.http .* flag/ }).waitFor()
    await page.getByRole('row', { name: /^nats\.producer-password \*\*\* secret environment/ }).waitFor()
    await page.getByRole('row', { name: /^trace-store\.retention 720h/ }).waitFor()
    await seen(page, 'How long it is kept')
    const answer = await page.evaluate(async () => (await fetch('/api/v1/settings')).text())
    assert.ok(JSON.parse(answer).settings.length > 150)
    for (const secret of [world.planted, world.secret]) assert.ok(!answer.includes(secret) && !(await page.content()).includes(secret), 'a secret is told')
    await page.getByLabel('Find').fill('producer-password')
    await seen(page, /^1 of \d+ settings/)
    await page.getByLabel('Find').fill('')
    await page.getByLabel('Only those that were set').check()
    await page.waitForURL(/own=1/)
    await page.getByRole('row', { name: /^trace-store\.retention 720h/ }).waitFor({ state: 'detached' })
  })

  it('sets what a tenant may use, and takes it back', async (t) => {
    const page = await as(t, 'driftmesh', 'admin', '/admin?room=tenants')
    await page.getByRole('link', { name: world.tenant }).click()
    const tails = page.getByRole('row', { name: /Live tails/ })
    await tails.getByText('the default').waitFor()
    await tails.getByRole('textbox').fill('4')
    await tails.getByRole('button', { name: 'Set' }).click()
    await page.getByRole('row', { name: /Live tails .* 4 its own/ }).waitFor()
    await tails.getByRole('button', { name: 'Default' }).click()
    await tails.getByText('the default').waitFor()
    const own = await as(t, world.tenant, world.admin, '/admin?room=limits')
    await own.getByRole('row', { name: /Live tails/ }).waitFor()
    assert.equal(await own.getByRole('button', { name: 'Set' }).count(), 0, 'limits are not the tenant\'s to change')
    for (const room of ['Settings', 'Certificates', 'Tenants']) assert.equal(await own.getByRole('button', { name: room, exact: true }).count(), 0, room)
    for (const path of ['settings', 'certificates', 'audit:export']) assert.equal(await own.evaluate(async (p) => (await fetch(`/api/v1/${p}`)).status, path), 403, path)
  })

  it('verifies the account of who did what, and is told when it was changed', async (t) => {
    const page = await as(t, 'driftmesh', 'admin', '/admin?room=audit')
    await page.getByRole('button', { name: 'Verify' }).click()
    await seen(page, 'The chain is whole')
    await seen(page, /\d+ entries, \d+ checkpoint/)
    const signer = (await page.getByText(/^Signed by/).locator('code').first().textContent()).trim()
    assert.match(signer, /^[0-9a-f]{16}$/)
    let change = (text) => text
    await page.route('**/api/v1/audit:export', async (route) => {
      const answer = await route.fetch()
      await route.fulfill({ response: answer, body: change(await answer.text()) })
    })
    for (const [what, how, told] of [
      ['an actor', (s) => s.replace('"actor":"admin"', '"actor":"eve"'), /Entry \d+ is not what was written/],
      ['an entry left out', (s) => s.replace(/\{"sequence":"2".*?"hash":"[^"]*"\},?/, ''), /Entry 3 stands where 2 should/],
      ['a signature', (s) => s.replace(/"signature":"(.)/, (_, c) => `"signature":"${c === 'A' ? 'B' : 'A'}`), /signature of the checkpoint .* is wrong/],
    ]) {
      change = (text) => {
        assert.notEqual(how(text), text, what)
        return how(text)
      }
      await page.getByRole('button', { name: 'Verify' }).click()
      await seen(page, 'The account was changed')
      await page.getByRole('alert').filter({ hasText: told }).waitFor()
    }
  })

  it('is led to the provider by a button of the login', async (t) => {
    const issuer = new URL(world.issuer)
    const provider = createServer((_, answer) => answer.setHeader('Content-Type', 'application/json').end(JSON.stringify({
      issuer: world.issuer, authorization_endpoint: `${world.issuer}/authorize`, token_endpoint: `${world.issuer}/token`, jwks_uri: `${world.issuer}/jwks`, response_types_supported: ['code'],
      subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['RS256'], code_challenge_methods_supported: ['S256'],
    })))
    await new Promise((ready) => provider.listen(Number(issuer.port), issuer.hostname, ready))
    t.after(() => provider.close())
    const page = await open(t, world.empty, '/alerts?feature=x')
    await page.getByRole('button', { name: 'Log in' }).click()
    const button = page.getByRole('link', { name: 'Log in with corp' })
    await button.waitFor()
    await accessible(page, 'login with a provider')
    const to = await button.getAttribute('href')
    assert.equal(new URL(to, world.empty).searchParams.get('return'), '/alerts?feature=x')
    const answer = await fetch(world.empty + to, { redirect: 'manual' })
    const there = new URL(answer.headers.get('location'))
    assert.equal(`${there.origin}${there.pathname}`, `${world.issuer}/authorize`)
    assert.equal(there.searchParams.get('client_id'), 'mesh')
    assert.ok(there.searchParams.get('code_challenge') && there.searchParams.get('state'))
  })

  for (const theme of ['light', 'dark']) {
    it(`has rooms that are accessible, ${theme}`, async (t) => {
      const page = await as(t, 'driftmesh', 'admin', '/admin', { theme })
      for (const [room, ready] of [['certificates', 'Authorities'], ['settings', 'As they are in force'], ['limits', 'What driftmesh may use'], ['audit', 'Is the account whole?']]) {
        await page.setViewportSize({ width: 1280, height: 900 })
        await page.goto(`${world.empty}/admin?room=${room}`)
        await seen(page, ready)
        await page.getByRole('row').nth(1).waitFor()
        await accessible(page, `${room}, ${theme}`)
        if (world.shots) await page.screenshot({ path: `${world.shots}/admin-${room}-${theme}.png` })
        await narrow(page, room)
      }
    })
  }
})
