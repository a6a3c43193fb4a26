// What is seen when little goes well: a gateway that goes away, answers that come late, a
// session that ends under one's hands, clicks that are two, addresses that nobody made.
import assert from 'node:assert/strict'
import { createServer, request } from 'node:http'
import { describe, it } from 'node:test'
import { ask, login, open, seen, send, slowly, span, until, world } from './lib.mjs'

const lost = /Failed to load resource|ERR_/ // what a browser says of a gateway that is not there

/** between stands between a browser and a mesh, and can be gone, or deaf. */
async function between(t, mesh) {
  const open = new Set()
  let deaf = false
  const server = createServer((asked, answer) => {
    const { hostname, port } = new URL(mesh)
    const on = request({ hostname, port, method: asked.method, path: asked.url, headers: asked.headers }, (from) => {
      answer.writeHead(from.statusCode, from.headers)
      from.on('data', (part) => { if (!deaf) answer.write(part) }).on('end', () => { if (!deaf) answer.end() }).on('error', () => answer.destroy())
    })
    on.on('error', () => answer.destroy())
    answer.on('close', () => on.destroy())
    asked.pipe(on)
  })
  server.on('connection', (c) => { open.add(c); c.on('close', () => open.delete(c)) })
  const listen = (port) => new Promise((done) => server.listen(port, '127.0.0.1', done))
  await listen(0)
  const { port } = server.address()
  const leave = async () => {
    const closed = new Promise((done) => server.close(done))
    for (const c of open) c.destroy()
    await closed
  }
  t.after(() => (server.listening ? leave() : undefined))
  return { address: `http://127.0.0.1:${port}`, leave, back: () => listen(port), deafen: () => { deaf = true } }
}

/** as is a page of somebody of the tenant in the empty mesh. */
async function as(t, name, path, options) {
  const page = await open(t, world.empty, path, options)
  await page.getByRole('button', { name: 'Log in' }).click()
  await login(page, name, world.secret)
  await seen(page, new RegExp(`^${name} · `))
  return page
}

/** lapse ends the session for the next question. */
const lapse = async (page) => page.context().addCookies((await page.context().cookies()).map((c) => ({ ...c, value: 'ended' })))

/** counted are the bodies of requests, of which it holds each back for a moment. */
async function counted(page, pattern, method = 'POST') {
  const seen = []
  await page.route(pattern, async (route) => {
    if (route.request().method() !== method) return route.fallback()
    seen.push(route.request().postData())
    await new Promise((next) => setTimeout(next, 200))
    await route.continue()
  })
  return seen
}

describe('addresses that nobody made', { concurrency: false }, () => {
  it('leave no screen empty', async (t) => {
    const page = await open(t, world.demo, '/')
    const main = page.locator('main')
    for (const [path, says] of [
      ['//', 'Services'], ['/alerts/100%25', /There is no such alert|could not be read/],
      ['/models/a/b/%25', /could not be read/], ['/?range=garbage', 'Services'], ['/?start=rubbish&end=2', 'Services'], ['/map?at=%2B275760-09-13T00:00:00Z', '– now'],
      ['/models/wine/red/0.1.0/backtest?start=garbage&end=also', 'Run the backtest'], ['/traces?start=2030-01-01T00:00:00Z&end=2020-01-01T00:00:00Z', 'Duration × time'],
      ['/alerts?after=garbage&group=purple', 'Silences'], [`/traces?tags=${'x'.repeat(60_000)}`, 'Duration × time'],
    ]) {
      await page.goto(world.demo + path)
      await main.getByText(says).filter({ visible: true }).first().waitFor().catch((e) => assert.fail(`${path.slice(0, 80)}: ${e.message}`))
    }
    await page.evaluate(() => { history.pushState(null, '', '/traces/%ZZ'); dispatchEvent(new PopStateEvent('popstate')) }) // the gateway answers no such path
    await seen(page, 'There is nothing at this address.')
    for (const [path, range] of [['/?range=garbage', '24h'], ['/traces?start=x&end=y', '1h'], ['/?start=2020-01-01T00:00:00Z', '24h']]) {
      await page.goto(world.demo + path)
      await until(async () => (await page.getByLabel('Time', { exact: true }).inputValue()) === range)
    }
  })
})

describe('a gateway that goes away', { concurrency: false }, () => {
  it('is asked again by each screen, and nobody has to', async (t) => {
    const gate = await between(t, world.demo)
    const page = await open(t, gate.address, '/models', { bears: lost })
    const row = page.getByRole('row', { name: /wine\/red/ }).first()
    await row.waitFor()
    await gate.leave()
    await page.getByRole('link', { name: 'Map' }).click()
    await seen(page, 'This screen could not be loaded')
    await gate.back()
    await page.getByRole('heading', { name: 'Map' }).waitFor() // loaded anew
    await page.getByRole('link', { name: 'Traces', exact: true }).click()
    await page.getByRole('region', { name: 'Results' }).getByRole('row').nth(1).waitFor()
    await gate.leave()
    await seen(page, 'The gateway does not answer') // though nothing on this screen asks
    await page.getByLabel('Errors only').check()
    await page.getByRole('button', { name: 'Search', exact: true }).click()
    await seen(page, 'Traces could not be read')
    await gate.back()
    await page.getByText('Traces could not be read').waitFor({ state: 'detached' })
    await page.getByText('The gateway does not answer').waitFor({ state: 'detached' })
  })

  it('leaves what was shown, with the time that it is from', async (t) => {
    const gate = await between(t, world.demo)
    const page = await open(t, gate.address, '/pipeline', { bears: lost })
    await seen(page, /balanced|settling/)
    await gate.leave()
    await page.getByRole('link', { name: /Books balance as of/ }).waitFor()
    await seen(page, /^as of /)
    await seen(page, /balanced|settling/)
    await gate.back()
    await until(async () => (await page.getByText(/^as of /).count()) === 0)
  })

  it('is waited for before anybody is known', async (t) => {
    const gate = await between(t, world.demo)
    const page = await open(t, gate.address, '/models', { bears: lost })
    await page.route('**/api/v1/whoami', (route) => route.abort())
    await page.reload()
    await seen(page, 'Who you are could not be read')
    await page.unroute('**/api/v1/whoami')
    await page.getByRole('row', { name: /wine\/red/ }).first().waitFor()
  })

  it('leaves a gap in the live tail that is said, and nothing twice', async (t) => {
    const gate = await between(t, world.empty)
    const page = await open(t, gate.address, '/tail?service=rough', { bears: lost })
    const rows = page.locator('main tbody tr')
    const tell = (name) => send(world.otlp, 'rough', [span(crypto.randomUUID().replaceAll('-', ''), name)])
    await seen(page, 'watching')
    await tell('before')
    await seen(page, 'before')
    await gate.leave()
    await seen(page, /^not watching/)
    await tell('meanwhile')
    await gate.back()
    await page.getByText(/^not watched from /).waitFor()
    await seen(page, 'watching')
    await tell('after')
    await seen(page, 'after')
    assert.deepEqual((await rows.allInnerTexts()).map((r) => r.match(/before|after|not watched|meanwhile/)[0]), ['after', 'not watched', 'before'])
  })

  it('is noticed in the live tail when it only falls silent', async (t) => {
    const gate = await between(t, world.empty)
    const page = await open(t, gate.address, '/nowhere', { bears: lost })
    await page.clock.install()
    await page.goto(gate.address + '/tail')
    await seen(page, 'watching')
    gate.deafen()
    await page.clock.fastForward(26_000)
    await seen(page, 'not watching: The gateway has gone silent.')
  })
})

describe('answers that come late', { concurrency: false }, () => {
  it('leave what one reads as it is while time goes on', async (t) => {
    const page = await open(t, world.demo, '/nowhere')
    await page.clock.install()
    await page.goto(world.demo + '/models/wine/red/0.1.0?feature=alcohol')
    const figure = page.getByRole('region', { name: 'Drift over time' })
    await figure.locator('summary').click()
    await figure.getByRole('row').nth(1).waitFor()
    let asked = 0
    await page.route('**/api/v1/series?*', async (route) => {
      asked++
      await new Promise((next) => setTimeout(next, 500))
      await route.continue().catch(() => undefined) // the page has given it up
    })
    await page.clock.fastForward(90_000) // another minute is the last
    await until(() => asked > 1)
    const answered = page.waitForResponse(/series\?.*feature=alcohol/)
    await page.clock.fastForward(90_000)
    await answered
    assert.ok(await figure.locator('details').evaluate((d) => d.open), 'the table that was opened')
  })

  it('are offered when they come, in the palette too', async (t) => {
    const page = await open(t, world.demo, '/models', { bears: lost })
    await page.getByRole('row', { name: /wine\/red/ }).first().waitFor()
    await page.route('**/api/v1/services', (route) => route.fulfill({ status: 503, json: { message: 'not now' } }))
    await page.keyboard.press('Control+k')
    await page.getByRole('option', { name: 'wine/red/0.1.0' }).waitFor() // what there is, is there
    await page.unroute('**/api/v1/services')
    await page.getByRole('dialog').getByRole('textbox').fill('model-server')
    await page.getByRole('option', { name: 'model-server' }).waitFor()
  })

  it('are not shown for another question', async (t) => {
    const page = await open(t, world.demo, '/nowhere')
    let slow
    await page.route('**/api/v1/traces:search', async (route) => {
      if (!/"service":"first"/.test(route.request().postData())) return route.fulfill({ json: { traces: [], next_page_token: '' } })
      await new Promise((go) => { slow = go })
      await route.fulfill({ status: 500, json: { message: 'the first one' } }).catch(() => undefined) // the page has given it up
    })
    await page.goto(world.demo + '/traces?service=first')
    await until(() => slow)
    await page.getByLabel('Service', { exact: true }).fill('second')
    await page.getByRole('button', { name: 'Search', exact: true }).click()
    await page.waitForURL(/service=second/)
    await seen(page, '0 traces')
    slow()
    await page.getByLabel('Service', { exact: true }).fill('third')
    await page.getByRole('button', { name: 'Search', exact: true }).click()
    await page.waitForURL(/service=third/)
    await seen(page, '0 traces')
    assert.equal(await page.getByText('the first one').count(), 0)
  })
})

describe('a session', { concurrency: false }, () => {
  it('is kept by the browser for as long as it lasts', async (t) => {
    const page = await as(t, world.viewer, '/')
    const [access, refresh] = ['access', 'refresh'].map((what) => new RegExp(`driftmesh-${what}`))
    const cookies = await page.context().cookies()
    const until = (name) => cookies.find((c) => name.test(c.name)).expires
    assert.ok(Math.abs(until(access) - until(refresh)) < 60, 'without the one, the browser would be whoever needs no credentials, and not be told')
  })

  it('that ends leaves what was typed to whom it belongs', async (t) => {
    const page = await as(t, world.admin, '/admin')
    const name = page.getByRole('textbox', { name: 'Name', exact: true })
    await name.fill('half a name')
    await lapse(page)
    await page.getByRole('combobox', { name: `Role of ${world.viewer}` }).selectOption('viewer')
    await seen(page, /The session has ended. Log in again as ann/)
    assert.equal(await page.getByRole('heading', { name: /of acme/ }).count(), 0, 'nobody sees what was there')
    assert.equal(await page.evaluate(() => document.activeElement.name), 'password')
    await login(page.locator('main.alone'), world.admin, world.secret)
    await page.getByRole('heading', { name: /of acme/ }).waitFor()
    assert.equal(await name.inputValue(), 'half a name')
    await lapse(page)
    await page.getByRole('combobox', { name: `Role of ${world.viewer}` }).selectOption('viewer')
    await seen(page, /The session has ended/)
    await login(page.locator('main.alone'), world.viewer, world.secret)
    await seen(page, 'are for administrators of the tenant. You are viewer.')
    assert.equal(await name.count(), 0, 'another begins anew')
  })

  it('that cannot be renewed for the moment is not over', async (t) => {
    const page = await as(t, world.admin, '/admin', { bears: /40[0134]|503/ })
    const context = page.context()
    await page.route('**/login/refresh', (route) => route.fulfill({ status: 503, body: '' }))
    await context.addCookies((await context.cookies()).map((c) => (/access/.test(c.name) ? { ...c, value: 'old' } : c)))
    await page.getByRole('button', { name: 'API keys' }).click()
    await seen(page, 'The session could not be renewed now.')
    assert.equal(await page.getByText('The session has ended').count(), 0)
    await page.unroute('**/login/refresh')
    await page.getByText('The session could not be renewed now.').first().waitFor({ state: 'detached' })
    await page.getByText(/No key yet|Last used/).first().waitFor()
  })

  it('is that of all tabs', async (t) => {
    const one = await open(t, world.empty, '/admin')
    const two = await one.context().newPage()
    await two.goto(world.empty + '/')
    await seen(two, 'anonymous')
    await one.getByRole('button', { name: 'Log in' }).click()
    await login(one, world.admin, world.secret)
    await seen(two, `${world.admin} · admin`)
    await two.getByRole('button', { name: 'Log out' }).click()
    await seen(one, 'anonymous')
    assert.equal(await one.getByRole('heading', { name: /of acme/ }).count(), 0)
  })
})

describe('hands that are quick', { concurrency: false }, () => {
  it('do once what they click twice', async (t) => {
    const page = await as(t, world.admin, '/admin?room=keys')
    const made = await counted(page, '**/api/v1/keys')
    await page.getByLabel('Name').fill('twice')
    await slowly(page, () => page.getByRole('button', { name: 'Make' }).dblclick())
    await seen(page, /The key, shown this once/)
    assert.equal(made.length, 1)
    assert.equal(await page.getByLabel('Name').inputValue(), '', 'done, it is gone')
    await ask(world.empty, '/api/v1/users', { tenant: world.tenant, username: 'twice', password: world.secret, role: 'viewer' },
      (await ask(world.empty, '/api/v1/login', { tenant: world.tenant, username: world.admin, password: world.secret })).token)
    await page.getByRole('button', { name: 'Users' }).click()
    const disabled = await counted(page, '**/api/v1/users:setDisabled')
    const row = page.getByRole('row', { name: /^twice/ })
    await row.getByRole('button', { name: 'Disable' }).dblclick()
    await row.getByRole('button', { name: 'Enable' }).waitFor()
    await page.getByRole('button', { name: 'Make' }).and(page.locator(':enabled')).waitFor()
    assert.equal(disabled.length, 1, 'a double click undoes nothing')
  })

  it('get no page of traces twice', async (t) => {
    const page = await open(t, world.demo, '/traces?range=24h')
    const asked = []
    await page.route('**/api/v1/traces:search', async (route) => {
      if (JSON.parse(route.request().postData()).page_token) asked.push(route.request().postData())
      await new Promise((next) => setTimeout(next, 200))
      await route.continue()
    })
    await slowly(page, () => page.getByRole('button', { name: 'Show more' }).dblclick())
    const links = page.getByRole('region', { name: 'Results' }).locator('tbody a')
    await until(async () => (await links.count()) > 50)
    const all = await links.evaluateAll((of) => of.map((a) => a.getAttribute('href')))
    assert.equal(new Set(all).size, all.length)
    assert.equal(asked.length, 1)
  })

  it('lose no letter in a field whose text is in the address', async (t) => {
    const page = await open(t, world.empty, '/admin?room=settings')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByLabel('Tenant').fill('driftmesh')
    await login({ getByLabel: (name, o) => (name === 'Tenant' ? { fill: () => undefined } : page.getByLabel(name, o)), getByRole: (...a) => page.getByRole(...a) }, 'admin', world.secret)
    const text = 'a text that is typed faster than it is found'
    await page.getByLabel('Find').focus()
    await slowly(page, () => page.keyboard.type(text))
    assert.equal(await page.getByLabel('Find').inputValue(), text)
    await page.waitForURL((url) => url.searchParams.get('q') === text)
    await page.reload()
    await until(async () => (await page.getByLabel('Find').inputValue()) === text)
  })

  it('keep what they typed when it could not be done, and while other things are chosen', async (t) => {
    const page = await as(t, world.admin, '/admin')
    await page.getByLabel('Name').fill('shorty')
    await page.getByLabel('Password').fill('short')
    await page.getByRole('button', { name: 'Make' }).click()
    await seen(page, 'not done')
    assert.equal(await page.getByLabel('Name').inputValue(), 'shorty')
    await page.goto(world.empty + '/traces')
    await page.getByLabel('Operation', { exact: true }).fill('half a')
    await page.getByLabel('Time', { exact: true }).selectOption('24h')
    await page.waitForURL(/range=24h/)
    assert.equal(await page.getByLabel('Operation', { exact: true }).inputValue(), 'half a')
    let answer
    await page.route('**/api/v1/profiles*', async (route) => {
      await new Promise((go) => { answer = go })
      await route.fulfill({ json: { profiles: [{ uid: 'u', space: 'late', name: 'profile', version: '1' }] } })
    })
    await page.goto(world.empty + '/tail')
    await page.getByLabel('Service', { exact: true }).fill('half a')
    await until(() => answer)
    const came = page.waitForResponse('**/api/v1/profiles*')
    answer()
    await came
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.waitForURL(/pause=1/)
    assert.equal(await page.getByLabel('Service', { exact: true }).inputValue(), 'half a')
  })

  it('without a keyboard close what is open, and reach nothing behind it', async (t) => {
    const page = await open(t, world.demo, '/models', { width: 390 })
    await page.getByRole('row', { name: /wine\/red/ }).first().waitFor()
    await page.keyboard.press('Control+k')
    const dialog = page.getByRole('dialog')
    await dialog.waitFor()
    await page.mouse.click(195, 880)
    await dialog.waitFor({ state: 'hidden' })
    await page.keyboard.press('?')
    await dialog.waitFor()
    await page.keyboard.press('g')
    await page.keyboard.press('t')
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    assert.match(page.url(), /\/models$/)
  })

  it('copy where a browser has no clipboard for the page', async (t) => {
    const page = await open(t, world.demo, '/nowhere')
    await page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }))
    await page.goto(world.demo + '/models/wine/red/0.1.0?view=json')
    await page.getByRole('button', { name: 'Copy', exact: true }).click()
    await page.getByRole('button', { name: /^(Copied|Not allowed here)$/ }).waitFor()
  })
})

describe('a trace of strangers', { concurrency: false }, () => {
  const id = (n) => `e5${n}`.padEnd(32, '0')
  const ms = 1_000_000n
  const begin = BigInt(Date.now()) * ms
  const one = (n, at, parent, name, took, more) => ({
    traceId: id(n), spanId: (at + 1).toString(16).padStart(16, '0'), parentSpanId: parent < 0 ? '' : (parent + 1).toString(16).padStart(16, '0'), name, kind: 2,
    startTimeUnixNano: String(begin), endTimeUnixNano: String(begin + took), ...more,
  })
  const years = 290n * 365n * 86_400_000n * ms

  it('is shown, whatever it is made of', async (t) => {
    const long = 'm'.repeat(10_000)
    const kinds = [
      ['a circle and its own parent', [one(1, 0, 2, 'a', ms), one(1, 1, 0, 'b', ms), one(1, 2, 1, 'c', ms), one(1, 3, 3, 'self', ms)], /4 of 4 rows shown/],
      ['two thousand levels', Array.from({ length: 2000 }, (_, i) => one(2, i, i - 1, `level ${i}`, BigInt(2001 - i) * ms)), /2,000 of 2,000 rows shown/],
      ['nothing and centuries', [one(3, 0, -1, 'none', 0n), one(3, 1, 0, 'long', years), one(3, 2, 0, 'backwards', -5n * ms)], /^105,850 days · 3 spans/],
      ['nearly a minute', [one(4, 0, -1, 'nearly', 119_700n * ms)], /^2 min 0 s · 1 span/],
      ['names of nothing and of ten thousand letters', [one(5, 0, -1, '', ms), one(5, 1, 0, long, ms, {
        attributes: [{ key: '', value: { stringValue: 'nameless' } }, { key: 'nan', value: { doubleValue: 'NaN' } }, { key: 'vast', value: { doubleValue: 1e300 } }, { key: long.slice(0, 3000), value: { stringValue: long } },
          { key: 'a pair', value: { stringValue: '\u202E\u05E9\u05DC\u05D5\u05DD a\u0301\u0301\u0301 \u{1F469}\u200D\u{1F467}' } }],
      })], /2 of 2 rows shown/],
    ]
    for (const [service, spans] of kinds) await send(world.otlp, service, spans)
    await send(world.otlp, long, [one(6, 0, -1, long, ms)])
    const page = await open(t, world.empty, '/nowhere')
    const fits = async (what) => {
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      assert.ok(over <= 0, `${what}: ${over} pixels too wide`)
    }
    for (const [service, spans, says] of [...kinds, [long, [one(6, 0, -1, long, ms)], /1 of 1 row shown/]]) {
      const path = `/traces/${spans[0].traceId}`
      await page.goto(world.empty + path)
      await page.locator('main').getByText(says).first().waitFor().catch((e) => assert.fail(`${service.slice(0, 60)}: ${e.message}`))
      await page.goto(`${world.empty}${path}?span=${spans.at(-1).spanId}`)
      await page.getByRole('complementary', { name: 'Span' }).waitFor()
      await fits(service.slice(0, 60))
      await page.setViewportSize({ width: 390, height: 844 })
      await fits(`${service.slice(0, 60)}, narrow`)
      await page.setViewportSize({ width: 1280, height: 900 })
      await page.goto(`${world.empty}${path}?look=statistics`)
      await page.getByRole('row', { name: /^All of/ }).waitFor()
      await fits(`${service.slice(0, 60)}, statistics`)
      assert.ok(!/NaN|Invalid Date|undefined/.test(await page.locator('main').innerText()), service.slice(0, 60))
    }
  })
})
