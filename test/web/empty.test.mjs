// A mesh that has just begun: what arrives first, who may do what, what is parked.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { accessible, login, open, seen, send, span, world } from './lib.mjs'

describe('an empty mesh', { concurrency: false }, () => {
  it('shows how to send a first span, and then shows it', async (t) => {
    const page = await open(t, world.empty, '/')
    await seen(page, 'Nothing has arrived yet. Send a first span.')
    await page.getByRole('button', { name: 'curl' }).click()
    await seen(page, /v1\/traces -H/)
    await accessible(page, 'empty mesh')
    execFileSync('bash', ['-c', await page.locator('pre code').first().textContent()]) // the line is right as it stands
    await page.getByRole('cell', { name: 'checkout', exact: true }).waitFor({ timeout: 30_000 })
    await page.getByRole('link', { name: 'checkout' }).click()
    await page.getByRole('link', { name: 'checkout pay' }).click()
    await page.getByRole('heading', { name: 'checkout pay' }).waitFor()
    assert.match(page.url(), /\/traces\/5b8efff798038103d269b633813fc60c$/)
  })

  it('logs in and out, and offers a viewer nothing that it may not do', async (t) => {
    const page = await open(t, world.empty, '/')
    await page.getByRole('button', { name: 'Log in' }).click()
    await accessible(page, 'login')
    await login(page, world.viewer, 'wrong password')
    await page.getByRole('alert').waitFor()
    await login(page, world.viewer, world.secret)
    await seen(page, `${world.viewer} · viewer`)
    await page.goto(world.empty + '/pipeline')
    await page.getByRole('heading', { name: 'Ledger' }).waitFor()
    assert.equal(await page.getByRole('heading', { name: 'Dead letters' }).count(), 0)
    assert.equal(await page.getByRole('heading', { name: 'Topics' }).count(), 0)
    await page.goto(world.empty + '/admin')
    await seen(page, `are for administrators of the tenant. You are viewer.`)
    const cookies = await page.context().cookies()
    assert.ok(cookies.length >= 2 && cookies.every((c) => c.httpOnly), 'no script reads a cookie')
    assert.equal(await page.evaluate(() => document.cookie), '')
    // Another tenant's trace is nobody's here.
    await page.goto(world.empty + '/traces/5b8efff798038103d269b633813fc60c')
    await seen(page, /could not be read|no span of this trace/)
    assert.equal(await page.getByText('pay', { exact: true }).count(), 0)
    await page.goto(world.empty + '/')
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('button', { name: 'Log in' }).waitFor()
    // A session that ended elsewhere ends here at the next question.
    await page.getByRole('button', { name: 'Log in' }).click()
    await login(page, world.viewer, world.secret)
    await seen(page, `${world.viewer} · viewer`)
    const context = page.context()
    await context.addCookies((await context.cookies()).map((c) => ({ ...c, value: 'ended' })))
    await page.getByLabel('Password').waitFor() // the overview asks again by itself
  })

  it('lets an administrator make users and keys, which are shown once, and see who did what', async (t) => {
    const page = await open(t, world.empty, '/admin')
    await page.getByRole('button', { name: 'Log in' }).click()
    await login(page, world.admin, world.secret)
    await page.getByRole('cell', { name: world.viewer, exact: true }).waitFor()
    await accessible(page, 'users')
    await page.getByLabel('Name').fill('otto')
    await page.getByLabel('Password').fill('a long enough sentence')
    await page.locator('form select[name=role]').selectOption('editor')
    await page.getByRole('button', { name: 'Make' }).click()
    await page.getByRole('cell', { name: 'otto', exact: true }).waitFor()
    await page.getByRole('row', { name: /otto/ }).getByRole('button', { name: 'Disable' }).click()
    await page.getByRole('row', { name: /otto .* disabled/ }).waitFor()
    await page.getByRole('button', { name: 'API keys' }).click()
    await page.getByLabel('Name').fill('collector')
    await page.getByRole('button', { name: 'Make' }).click()
    await seen(page, /The key, shown this once/)
    const key = await page.getByRole('status').locator('code').first().textContent()
    await page.reload()
    await page.getByRole('cell', { name: 'collector', exact: true }).waitFor()
    assert.ok(key.length > 30 && !(await page.content()).includes(key), 'a key is shown once')
    await accessible(page, 'keys')
    await page.getByRole('button', { name: 'Audit' }).click()
    await page.getByRole('cell', { name: 'CreateAPIKey' }).first().waitFor()
    await accessible(page, 'audit')
    assert.equal(await page.getByRole('button', { name: 'Tenants' }).count(), 0, 'they are of the whole mesh')
  })

  it('shows markup in data as text', async (t) => {
    const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>'
    const id = '6b8efff798038103d269b633813fc60c'
    const text = (key) => ({ key, value: { stringValue: evil } })
    await send(world.otlp, evil, [span(id, evil, {
      attributes: [text(evil), text('javascript:alert(3)')], status: { code: 2, message: evil },
      events: [{ timeUnixNano: `${Date.now()}000000`, name: evil, attributes: [text(evil)] }], links: [{ traceId: id, spanId: id.slice(0, 16), attributes: [text(evil)] }],
    })])
    const page = await open(t, world.empty, `/traces/${id}?span=${id.slice(0, 16)}`)
    for (const tab of ['Attributes', 'Events', 'Links', 'Resource']) {
      await page.getByRole('button', { name: tab }).click({ timeout: 30_000 })
      await seen(page, evil)
    }
    await page.getByRole('button', { name: 'Statistics' }).click()
    await page.goto(world.empty + '/traces')
    await seen(page, evil)
    await page.goto(world.empty + '/')
    await seen(page, evil)
    assert.equal(await page.locator('img').count(), 0)
  })

  it('parks what it cannot handle, shows why, and sends it again', async (t) => {
    const answer = await fetch(`${world.empty}/scouter/message`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ records: [{ Custom: { created_at: new Date().toISOString(), entity_id: 0, metric: 'accuracy', uid: '01a21a35-ff63-7509-9ab9-7d0b5f8c19d5', value: 0.5 } }] }),
    })
    assert.equal(answer.status, 200)
    const page = await open(t, world.empty, '/pipeline')
    await seen(page, 'balanced')
    await page.getByRole('cell', { name: /unknown/ }).first().waitFor({ timeout: 30_000 })
    await accessible(page, 'pipeline')
    await page.getByRole('row', { name: /unknown/ }).getByRole('link').click()
    await page.getByRole('heading', { name: /unknown/ }).waitFor()
    await seen(page, /accuracy/)
    await page.getByRole('button', { name: 'Redrive' }).click()
    await seen(page, /^1 redriven/)
  })
})
