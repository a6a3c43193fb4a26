// What joins the parts: the service map, the live tail, and the ways from a trace and the
// map to the topics of the pipeline.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { accessible, login, narrow, open, rated, seen, send, span, until, world } from './lib.mjs'

const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>'
const hex = (n, size) => n.toString(16).padStart(size, '0')
const text = (key, value) => ({ key, value: { stringValue: value } })
const about = (topic) => [text('messaging.destination.name', topic), text('messaging.system', 'kafka')]
const nanos = (t) => `${Math.round(t * 1e6)}`

/** order is a trace of an order: shop calls pay, which fails, and sends to a topic, which
 * mailer processes 100 ms later. */
async function order(i, topic = 'orders', mailer = 'mailer', headers = {}) {
  const id = hex(0xabcd0000n + BigInt(i), 32)
  const t0 = Date.now() - 90_000
  const of = (n, name, kind, from, took, more = {}) => ({ traceId: id, spanId: hex(i * 100 + n, 16), name, kind, startTimeUnixNano: nanos(t0 + from), endTimeUnixNano: nanos(t0 + from + took), ...more })
  const below = (n) => ({ parentSpanId: hex(i * 100 + n, 16) })
  await send(world.otlp, 'shop', [of(1, 'POST /orders', 2, 0, 50), of(2, 'send', 4, 10, 2, { ...below(1), attributes: about(topic) }), of(3, 'pay', 3, 20, 20, below(1))], headers)
  await send(world.otlp, 'pay', [of(4, 'charge', 2, 22, 15, { ...below(3), status: { code: 2, message: 'declined' } })], headers)
  await send(world.otlp, mailer, [of(5, 'process', 5, 112, 5, { ...below(2), attributes: about(topic) })], headers)
  return id
}

/** ask is an answer of the API, as whoever the page is. */
const ask = (page, path, init) => page.evaluate(async ([path, init]) => {
  const answer = await fetch(path, init && { ...init, headers: { 'Content-Type': 'application/json', ...init.headers } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}, [path, init])

describe('the service map', { concurrency: false }, () => {
  let ids
  before(async () => { ids = await Promise.all(Array.from({ length: 10 }, (_, i) => order(i + 1))) })

  it('has the services and topics that sent, with their figures, and leads to the traces', async (t) => {
    const page = await open(t, world.empty, '/map?range=15m&mesh=0')
    await page.getByRole('button', { name: /^topic orders dwell 100 ms/ }).waitFor({ timeout: 30_000 })
    await until(async () => { // all that was sent is stored
      const graph = await ask(page, '/api/v1/service-graph')
      return graph.edges.find((e) => e.to.name === 'pay')?.figures.calls === '10' && graph.nodes.find((n) => n.place.name === 'orders')?.dwell.count === '10'
    })
    await page.reload()
    const pay = page.getByRole('button', { name: /^shop calls pay: 0\.6\d+ \/min, 100\.00 % errors, p95 15 ms/ })
    await pay.waitFor()
    await page.getByRole('button', { name: /^shop sends to orders/ }).waitFor()
    await page.getByRole('button', { name: /^orders is processed by mailer: .* dwell p50 100 ms/ }).waitFor()
    await page.getByRole('button', { name: /^service pay.*errors/ }).waitFor()
    // By keys: an edge, its figures, and the traces that failed.
    await pay.focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(/sel=s%3Ashop%3Es%3Apay/)
    await seen(page, '10 counted')
    await page.getByRole('link', { name: 'With errors' }).click()
    await page.waitForURL(/\/traces\?service=pay&.*errors=1/)
    await page.getByRole('link', { name: /shop POST \/orders/ }).first().waitFor()
    await page.goBack()
    await page.getByRole('complementary', { name: 'Call' }).waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL((u) => !u.search.includes('sel='))
    // A service, its series, and who it calls.
    await page.getByRole('button', { name: /^service shop / }).click()
    const drawer = page.getByRole('complementary', { name: 'Service' })
    await drawer.getByRole('img', { name: /^Spans of shop, 30 in all/ }).waitFor()
    await drawer.getByRole('img', { name: /^Errors of shop, 0 in all/ }).waitFor()
    await drawer.getByRole('button', { name: 'orders' }).click()
    await page.getByRole('complementary', { name: 'Call' }).getByText(/^shop sends to orders/).waitFor()
    await page.getByRole('link', { name: 'Through orders' }).click()
    await page.getByRole('link', { name: /shop POST \/orders/ }).first().waitFor()
  })

  it('goes through time, in the address', async (t) => {
    const page = await open(t, world.empty, '/map?range=15m&mesh=0')
    await page.getByRole('button', { name: /^service shop / }).waitFor()
    await page.getByRole('button', { name: 'Earlier' }).click()
    await page.waitForURL(/at=/)
    await page.getByRole('button', { name: 'Earlier' }).click()
    await seen(page, /No span started between/)
    const link = page.url()
    await page.goto('about:blank')
    await page.goto(link)
    await seen(page, /No span started between/)
    await page.getByRole('slider', { name: 'Time' }).press('End')
    await page.waitForURL((u) => !u.search.includes('at='))
    await page.getByRole('button', { name: /^service shop / }).waitFor()
  })

  it('shows what the demo does, as the API has it, with the topics of the mesh and their lag', async (t) => {
    const page = await open(t, world.demo, '/map')
    const end = new Date(Math.floor(Date.now() / 60_000) * 60_000)
    await until(async () => (await ask(page, '/api/v1/service-graph?with_mesh=true')).nodes.some((n) => n.place.mesh && n.place.name === 'records' && n.dwell?.count > 0))
    await page.getByRole('button', { name: /^topic records lag \d+ · dwell .*of the mesh/ }).waitFor({ timeout: 30_000 })
    const start = new Date(end - 15 * 60_000)
    await page.goto(`${world.demo}/map?range=15m&view=table&at=${end.toISOString()}`)
    const graph = await ask(page, `/api/v1/service-graph?start_time=${start.toISOString()}&end_time=${end.toISOString()}&with_mesh=true`)
    assert.ok(graph.nodes.some((n) => n.place.name === 'model-server') && graph.edges.length > 2)
    const [nodes, edges] = [page.getByRole('region', { name: 'Table of services and topics' }), page.getByRole('region', { name: 'Table of calls and messages' })]
    await nodes.getByRole('row').nth(graph.nodes.length).waitFor()
    assert.deepEqual((await nodes.getByRole('row').allTextContents()).length - 1, graph.nodes.length)
    assert.deepEqual((await edges.getByRole('row').allTextContents()).length - 1, graph.edges.length)
    const called = graph.nodes.find((n) => n.place.name === 'model-server')
    await nodes.getByRole('button', { name: 'model-server', exact: true }).click()
    await seen(page, `${Number(called.figures.calls).toLocaleString('en')} counted`)
    await page.goto(`${world.demo}/map?sel=${encodeURIComponent('tm:records')}`)
    await page.getByRole('complementary', { name: 'Topic' }).getByRole('link', { name: 'Pipeline' }).click()
    await page.waitForURL(/\/pipeline\?topic=records/)
    await page.locator('tr[aria-current=true]', { hasText: 'records' }).waitFor()
  })

  it('keeps how far readers were behind while the page is open, and says since when', async (t) => {
    const page = await open(t, world.demo, '/models')
    const lags = [5, 40, null, 7] // one of which the broker cannot tell
    const told = []
    await page.route('**/api/v1/topics', async (route) => {
      const answer = await (await route.fetch()).json()
      const lag = told.length < lags.length ? lags[told.length] : 3
      told.push(lag)
      Object.assign(answer.topics.find((t) => t.name === 'records').groups[0], lag === null ? { known: false, total: '0', problem: 'the broker is away' } : { known: true, total: String(lag) })
      await route.fulfill({ json: answer })
    })
    const line = page.getByRole('row', { name: /^records → ingest-worker/ }).getByRole('img', { name: /^Lag of records since/ })
    await page.getByRole('link', { name: 'Pipeline', exact: true }).click()
    await line.waitFor()
    await page.getByRole('columnheader', { name: /^Lag since \d/ }).waitFor()
    await until(async () => /while this page looked: now [73], most 40$/.test(await line.getAttribute('aria-label')))
    assert.ok(await line.locator('.soft').count() >= 2, 'the line is broken where it was not known')
    // Another screen of the same page goes on with it.
    await page.getByRole('link', { name: 'Map', exact: true }).click()
    await page.getByRole('button', { name: /^topic records lag 3 / }).click()
    const drawer = page.getByRole('complementary', { name: 'Topic' })
    await drawer.getByText(/^most 40 messages since .*, while this page looked$/).waitFor()
    await drawer.getByText('Table', { exact: true }).click()
    const rows = (await drawer.getByRole('group', { name: 'Lag, as a table' }).locator('tbody td:nth-child(2)').allTextContents()).slice(0, 4)
    assert.deepEqual(rows, ['5', '40', 'not known', '7'])
    const drawn = await drawer.getByRole('group', { name: 'Lag, as a table' }).locator('tbody tr').count()
    await until(async () => (await drawer.getByRole('group', { name: 'Lag, as a table' }).locator('tbody tr').count()) > drawn) // it goes on
    await drawer.getByRole('group', { name: /^Lag: \d+ points/ }).focus()
    await page.keyboard.press('Home')
    await drawer.getByText(/^Time .* · Lag 5$/).waitFor()
    await accessible(page, 'lag over time')
    await page.reload() // which nobody else keeps
    await drawer.getByText(/^most 3 messages since/).waitFor()
    await narrow(page, 'lag over time')
  })

  it('marks when a service began to run another version', async (t) => {
    const began = Date.now() - 60 * 60_000
    const run = async (version, at) => {
      const answer = await fetch(`${world.otlp}/v1/traces`, {
        method: 'POST', headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ resourceSpans: [{ resource: { attributes: [text('service.name', 'deployed'), text('service.version', version)] }, scopeSpans: [{ spans: [span(hex(BigInt(at), 32), 'work', { spanId: hex(at % 1e9, 16), startTimeUnixNano: nanos(at), endTimeUnixNano: nanos(at + 5) })] }] }] }),
      })
      assert.equal(answer.status, 200)
    }
    await run('1.0.0', began - 2 * 60 * 60_000)
    await run(evil, began)
    await run('1.0.0', began + 60_000) // the old one goes on beside it for a while
    const page = await open(t, world.empty, '/map?range=15m&mesh=0') // the strip is of six hours
    await until(async () => (await ask(page, '/api/v1/spans:count', { method: 'POST', body: JSON.stringify({ query: { service: 'deployed', start_time: new Date(began - 4 * 3_600_000).toISOString(), end_time: new Date().toISOString() } }) })).total?.spans === '3')
    await page.reload()
    await seen(page, new RegExp(`New versions: deployed <img .*, first seen`))
    assert.equal(await page.locator('.steps .deploy').count(), 1, 'what there was first is no change')
    const left = Number.parseFloat(await page.locator('.steps .deploy').evaluate((mark) => mark.style.left))
    const end = Math.ceil(Date.now() / 60_000) * 60_000
    assert.ok(Math.abs(left - (100 * (began - (end - 6 * 3_600_000))) / (6 * 3_600_000)) < 1.5, `at ${left} %`)
    assert.equal(await page.locator('img').count(), 0)
    await page.goto(`${world.empty}/map?range=15m&mesh=0&sel=s%3Ashop`) // of one service, its own
    await page.getByRole('complementary', { name: 'Service' }).waitFor()
    await page.locator('.steps .deploy').waitFor({ state: 'detached' })
    await page.goto(`${world.empty}/map?range=15m&mesh=0`)
    await seen(page, /New versions: deployed/)
    await accessible(page, 'a new version')
    await narrow(page, 'a new version')
  })

  it('shows markup in the names of services and topics as text', async (t) => {
    await order(77, evil, evil)
    const page = await open(t, world.empty, '/map?range=15m&mesh=0')
    const topic = page.getByRole('button', { name: /^topic <img/ })
    await topic.waitFor({ timeout: 30_000 })
    await topic.press('Enter')
    await page.getByRole('heading', { name: evil }).waitFor()
    await page.getByRole('button', { name: 'Table' }).click()
    await seen(page, evil)
    assert.equal(await page.locator('img').count(), 0)
  })

  it('leads from a wait in a trace to its topic, with its lag', async (t) => {
    const page = await open(t, world.demo, `/traces/${(await rated(1))[0].trace_id}`)
    const dwell = page.getByRole('row', { name: /dwell records/ }).first()
    await until(async () => { // the mesh's own spans come after those of the trace
      await page.getByRole('treegrid').waitFor()
      return (await dwell.count()) > 0 || page.reload().then(() => false)
    })
    await dwell.click()
    await page.getByRole('link', { name: /^Topic records, lag \d+ now/ }).waitFor()
    await dwell.getByRole('link', { name: 'topic' }).click()
    await page.waitForURL(/\/pipeline\?topic=records/)
    const row = page.locator('tr[aria-current=true]')
    await row.waitFor()
    assert.match(await row.textContent(), /^records → ingest-worker/)
    // Every cell is explained, by keys too.
    const what = page.getByText('What the cells mean')
    await what.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('term').filter({ hasText: 'in flight' }).waitFor()
    // A wait that nobody but the spans tells of leads to the map.
    const other = await open(t, world.empty, `/traces/${ids[0]}`)
    await other.getByRole('row', { name: /waits in orders/ }).getByRole('link', { name: 'topic' }).click()
    await other.waitForURL(/\/map\?sel=t%3Aorders/)
    await other.getByRole('complementary', { name: 'Topic' }).waitFor()
  })

  for (const theme of ['light', 'dark']) {
    it(`is accessible, ${theme}, and fits a telephone, its table first`, async (t) => {
      for (const [address, name, sel] of [[world.demo, 'map', 'tm:records'], [world.empty, 'map-orders', 's:shop']]) {
        const page = await open(t, address, `/map?sel=${encodeURIComponent(sel)}`, { theme })
        await page.getByRole('button', { name: /^service / }).first().waitFor()
        await page.getByRole('complementary').waitFor()
        await accessible(page, `${name}, ${theme}`)
        if (world.shots) await page.screenshot({ path: `${world.shots}/${name}-${theme}.png` })
        await page.goto(`${address}/map?view=table`)
        await page.getByRole('region', { name: 'Table of calls and messages' }).waitFor()
        await accessible(page, `${name} as a table, ${theme}`)
        await page.setViewportSize({ width: 390, height: 844 })
        await page.goto(`${address}/map`)
        await page.getByRole('region', { name: 'Table of services and topics' }).waitFor()
        await narrow(page)
      }
      const page = await open(t, world.demo, '/pipeline?topic=records', { theme })
      await page.locator('tr[aria-current=true]').waitFor()
      await accessible(page, `pipeline, ${theme}`)
      if (world.shots) await page.screenshot({ path: `${world.shots}/pipeline-${theme}.png`, fullPage: true })
      await narrow(page)
    })
  }
})

describe('the live tail', { concurrency: false }, () => {
  const opened = async (page) => page.getByRole('status').filter({ hasText: 'watching' }).waitFor({ timeout: 30_000 })

  it('shows a span just sent, filters and pauses, and leads to its trace', async (t) => {
    const page = await open(t, world.empty, '/tail')
    await opened(page)
    const id = hex(0xfeedn, 32)
    await send(world.otlp, 'tailed', [span(id, 'just now', { spanId: hex(1, 16) })])
    await page.getByRole('row', { name: /server tailed just now/ }).waitFor()
    await page.getByRole('combobox', { name: 'Service' }).fill('tailed')
    await page.getByLabel('Span name').fill('wanted')
    await page.getByRole('button', { name: 'Filter' }).click()
    await page.waitForURL(/service=tailed&name=wanted/)
    await opened(page)
    await send(world.otlp, 'tailed', [span(id, 'unwanted', { spanId: hex(2, 16) }), span(id, 'wanted', { spanId: hex(3, 16) })])
    await page.getByRole('row', { name: /tailed wanted/ }).waitFor()
    assert.equal(await page.getByRole('row').count(), 2, 'the head and the one that was wanted')
    await page.keyboard.press('p')
    await page.waitForURL(/pause=1/)
    await send(world.otlp, 'tailed', [span(id, 'wanted', { spanId: hex(4, 16) })])
    await page.getByRole('button', { name: /Go on, 1 new/ }).waitFor()
    assert.equal(await page.getByRole('row').count(), 2)
    await page.getByRole('button', { name: /Go on, 1 new/ }).click()
    await page.getByRole('row').nth(2).waitFor()
    await page.getByRole('link', { name: id.slice(0, 8) }).first().click()
    await page.waitForURL(new RegExp(`/traces/${id}`))
  })

  it('keeps a bounded number of rows and shows markup as text', async (t) => {
    const page = await open(t, world.empty, '/tail')
    await opened(page)
    await send(world.otlp, evil, Array.from({ length: 700 }, (_, i) => span(hex(i + 1, 32), evil, { spanId: hex(i + 1, 16) })))
    await seen(page, /newest 500 of 700/)
    await seen(page, evil)
    assert.equal(await page.getByRole('row').count(), 501)
    assert.equal(await page.locator('img').count(), 0)
  })

  it('shows records as they come', async (t) => {
    const page = await open(t, world.demo, '/tail?signal=records')
    await opened(page)
    await page.getByRole('row', { name: /features wine\/red\/0\.1\.0/ }).first().waitFor({ timeout: 30_000 })
    await page.getByRole('row').nth(1).getByRole('link').click()
    await page.waitForURL(/\/traces\/[0-9a-f]{32}\?span=/)
    await page.goto(`${world.demo}/tail?signal=records&profile=nobody`)
    await opened(page)
    await seen(page, /Nothing that matches has arrived/)
  })

  it('shows nothing of another tenant, tells who may not, and ends with a key', async (t) => {
    const page = await open(t, world.empty, '/')
    await page.getByRole('button', { name: 'Log in' }).click()
    await login(page, world.admin, world.secret)
    await seen(page, new RegExp(`^${world.tenant}`))
    const key = await ask(page, '/api/v1/keys', { method: 'POST', body: JSON.stringify({ name: 'tail', role: 'editor' }) })
    await page.goto(world.empty + '/tail')
    await opened(page)
    await send(world.otlp, 'foreign', [span(hex(8, 32), 'of the tenant default', { spanId: hex(8, 16) })])
    await send(world.otlp, 'ours', [span(hex(9, 32), 'of the tenant itself', { spanId: hex(9, 16) })], { 'x-api-key': key.key })
    await page.getByRole('row', { name: /of the tenant itself/ }).waitFor()
    assert.equal(await page.getByText('of the tenant default').count(), 0)
    // EventSource, which sends cookies by itself.
    await page.evaluate(() => new Promise((done, fail) => {
      const from = new EventSource('/api/v1/tail/events?signal=SIGNAL_SPANS')
      from.addEventListener('beat', () => { from.close(); done() })
      from.onerror = () => fail(new Error('no events'))
    }))
    // A stream ends when the key that it began with is revoked.
    const answer = await fetch(`${world.empty}/api/v1/tail/events?signal=SIGNAL_SPANS`, { headers: { 'x-api-key': key.key } })
    assert.equal(answer.status, 200)
    await page.evaluate(async (id) => { if (!(await fetch(`/api/v1/keys/${id}`, { method: 'DELETE' })).ok) throw new Error('not revoked') }, key.api_key.id)
    let all = ''
    for await (const part of answer.body.pipeThrough(new TextDecoderStream())) all += part // until it ends
    assert.match(all, /event: end\ndata: \{"code":"UNAUTHENTICATED"/)
    await ask(page, '/api/v1/users', { method: 'POST', body: JSON.stringify({ tenant: world.tenant, username: 'ines', password: world.secret, role: 'ingest' }) })
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('button', { name: 'Log in' }).click()
    await login(page, 'ines', world.secret)
    await seen(page, 'ines · ingest')
    await page.goto(world.empty + '/tail')
    await seen(page, /asks for the permission tail\.read, which the role ingest does not have/)
  })

  for (const theme of ['light', 'dark']) {
    it(`is accessible, ${theme}, and fits a telephone`, async (t) => {
      const page = await open(t, world.demo, '/tail', { theme })
      await page.getByRole('row').nth(5).waitFor({ timeout: 30_000 })
      await page.keyboard.press('p')
      await page.getByRole('button', { name: /Go on/ }).waitFor()
      await accessible(page, `tail, ${theme}`)
      if (world.shots) await page.screenshot({ path: `${world.shots}/tail-${theme}.png` })
      await narrow(page)
    })
  }
})
