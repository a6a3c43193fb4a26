// The search for traces: the map, facets, completion, saved searches, counts and files.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { accessible, narrow, open, seen, send, span, until, world } from './lib.mjs'

const post = (page, path, body) => page.evaluate(async ([path, body]) => (await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })).json(), [path, body])
const hex = (n) => n.toString(16).padStart(32, '0')
const text = (key, value) => ({ key, value: { stringValue: value } })

/** shown are the traces of the table. */
const shown = (page) => page.getByRole('region', { name: 'Results' }).getByRole('row').count().then((n) => n - 1)

describe('the search for traces', { concurrency: false }, () => {
  // 70 traces of one span: 40 take 5 ms, 20 take 700 ms and fail, 10 take 3 s.
  const service = 'searched'
  const evil = '<img src=x onerror=alert(1)>="x" \\'
  const began = Date.now() - 20 * 60_000
  it('finds what was sent', async (t) => {
    await send(world.otlp, service, Array.from({ length: 70 }, (_, i) => {
      const [ms, plan] = i < 40 ? [5, 'free'] : i < 60 ? [700, 'pro'] : [3000, 'very large']
      const start = began + i * 10_000
      return span(hex(0xa0000000 + i), `GET /${plan}`, {
        spanId: hex(0xb0000000 + i).slice(16), startTimeUnixNano: `${start}000000`, endTimeUnixNano: `${start + ms}000000`,
        attributes: [text('driftmesh.tag.plan', plan), ...(i === 69 ? [text(evil, evil)] : [])], ...(plan === 'pro' ? { status: { code: 2 } } : {}),
      })
    }))
    const page = await open(t, world.empty, `/traces?service=${service}`)
    await until(async () => (await post(page, '/api/v1/spans:count', { query: { service, start_time: new Date(began - 60_000).toISOString(), end_time: new Date().toISOString() } })).total?.spans === '70')
  })

  it('says how many traces match, all of them in the end', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}`)
    await page.getByRole('heading', { name: '50 of 70 traces' }).waitFor()
    await page.getByRole('button', { name: 'Show more' }).click()
    await page.getByRole('heading', { name: '70 traces', exact: true }).waitFor()
    await seen(page, 'complete')
    assert.equal(await shown(page), 70)
    assert.equal(await page.getByRole('img', { name: `Services: ${service} 1` }).count(), 70)
  })

  it('narrows time and duration with the pointer, in the address too', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}`)
    await page.getByRole('heading', { name: '50 of 70 traces' }).waitFor()
    const map = page.getByRole('application')
    await map.locator('svg').waitFor()
    const box = await map.locator('svg').boundingBox()
    // The upper rows, from left to right: what takes seconds.
    await page.mouse.move(box.x + 60, box.y + 8)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width - 4, box.y + 10, { steps: 4 })
    await page.mouse.up()
    await page.waitForURL(/brush=/)
    await page.getByRole('heading', { name: '10 traces', exact: true }).waitFor()
    for (const row of (await page.getByRole('region', { name: 'Results' }).getByRole('row').allTextContents()).slice(1)) assert.match(row, /very large.*3 s/)
    await page.reload()
    await page.getByRole('heading', { name: '10 traces', exact: true }).waitFor()
    await page.getByRole('button', { name: 'Zoom in' }).click()
    await page.waitForURL((u) => u.searchParams.has('start') && u.searchParams.has('min') && !u.searchParams.has('brush'))
    await page.getByRole('heading', { name: '10 traces', exact: true }).waitFor()
    await page.goBack()
    await page.goBack()
    await page.getByRole('heading', { name: '50 of 70 traces' }).waitFor()
  })

  it('narrows them by keys alone', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}`)
    await page.getByRole('heading', { name: '50 of 70 traces' }).waitFor()
    await page.getByRole('application').locator('svg').waitFor()
    await page.getByRole('application').focus()
    await page.keyboard.press('ArrowLeft') // the cursor is there, at the end and at the shortest
    for (let i = 0; i < 59; i++) await page.keyboard.press('Shift+ArrowLeft')
    await seen(page, /: 40 spans/)
    await page.keyboard.press('Enter')
    await page.waitForURL(/brush=/)
    await page.getByRole('heading', { name: '40 traces', exact: true }).waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL((u) => !u.searchParams.has('brush'))
    await page.getByRole('heading', { name: '50 of 70 traces' }).waitFor()
    // The table behind it has every span.
    await page.getByText('Table', { exact: true }).click()
    const spans = await page.getByRole('region', { name: /as a table/ }).locator('tbody td:nth-child(4)').allTextContents()
    assert.equal(spans.reduce((sum, n) => sum + Number(n), 0), 70)
  })

  it('counts facets as the store does, and a click adds the filter', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}`)
    const facet = (name) => page.getByRole('complementary', { name: 'Facets' }).getByRole('checkbox', { name, exact: true })
    await facet('pro 20').waitFor()
    await facet('free 40').waitFor()
    await facet('very large 10').first().waitFor()
    await facet(/^error 20/).waitFor()
    await facet(/^no error 50/).waitFor()
    await facet('GET /free 40').waitFor()
    await facet(`${service} 70`).waitFor()
    await facet('pro 20').click()
    await page.waitForURL((u) => u.searchParams.get('tags') === 'driftmesh.tag.plan=pro')
    await page.getByRole('heading', { name: '20 traces', exact: true }).waitFor()
    await facet(/^error 20/).waitFor()
    await facet('pro 20').click()
    await page.waitForURL((u) => !u.searchParams.has('tags'))
    await facet('very large 10').first().click()
    await page.waitForURL((u) => u.searchParams.get('tags') === 'driftmesh.tag.plan="very large"')
    await page.getByRole('heading', { name: '10 traces', exact: true }).waitFor()
    await facet(/^error/).click() // none of these failed
    await seen(page, 'Nothing matches service, tags, errors in this time.')
    await page.goto(`${world.empty}/traces?service=${service}`)
    await facet(/^no error/).click()
    await page.getByRole('heading', { name: '50 traces', exact: true }).waitFor()
  })

  it('completes keys and values from what is stored', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}`)
    const tags = page.getByRole('combobox', { name: 'Tags' })
    await tags.focus()
    await tags.pressSequentially('tag.pl')
    await page.getByRole('option', { name: 'driftmesh.tag.plan 70' }).waitFor()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    assert.equal(await tags.inputValue(), 'driftmesh.tag.plan=')
    await page.getByRole('option', { name: 'pro 20' }).waitFor()
    await accessible(page, 'completion')
    await tags.pressSequentially('large')
    await page.getByRole('option', { name: 'very large 10' }).click()
    assert.equal(await tags.inputValue(), 'driftmesh.tag.plan="very large" ')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: '10 traces', exact: true }).waitFor()
  })

  it('keeps a search under a name, over a reload and in the palette', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}&errors=1`)
    await page.getByText('Saved', { exact: true }).click()
    await page.getByLabel('Save this search as').fill('what failed <b>')
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await page.goto(`${world.empty}/traces`)
    await page.getByText('Saved · 1').click()
    await page.getByRole('link', { name: 'what failed <b>' }).click()
    await page.waitForURL((u) => u.searchParams.get('service') === service && u.searchParams.get('errors') === '1')
    await page.getByRole('heading', { name: '20 traces', exact: true }).waitFor()
    await page.goto(`${world.empty}/models`)
    await page.getByRole('button', { name: /^Go to/ }).waitFor()
    await page.keyboard.press('Control+k')
    await page.keyboard.type('what failed')
    await page.getByRole('option', { name: /what failed <b>.*saved search/ }).waitFor()
    await page.keyboard.press('Enter')
    await page.waitForURL(/errors=1/)
    await page.getByText('Saved · 1').click()
    await page.getByRole('button', { name: 'Forget what failed <b>' }).click()
    await seen(page, 'No search is saved in this browser.')
  })

  it('gives the results as a file', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}&errors=1`)
    await page.getByRole('heading', { name: '20 traces', exact: true }).waitFor()
    const waiting = page.waitForEvent('download')
    await page.getByRole('button', { name: 'traces as CSV' }).click()
    const rows = readFileSync(await (await waiting).path(), 'utf8').trim().split('\r\n')
    assert.equal(rows[0], 'trace_id,start_time,service,operation,duration_ms,spans,errors,services')
    assert.equal(rows.length, 21)
    assert.match(rows[1], new RegExp(`^${hex(0xa0000000 + 59)},\\d{4}-.*Z,${service},GET /pro,700,1,1,${service}$`))
  })

  it('shows markup in keys and values as text', async (t) => {
    const page = await open(t, world.empty, `/traces?service=${service}&tags=${encodeURIComponent('driftmesh.tag.plan="very large"')}`)
    await page.getByRole('button', { name: /more attributes/ }).click({ timeout: 3000 }).catch(() => undefined) // where it is not among the first
    await page.getByRole('checkbox', { name: `${evil} 1` }).click()
    await page.getByRole('heading', { name: '1 trace', exact: true }).waitFor()
    await page.getByRole('combobox', { name: 'Tags' }).fill('img')
    await page.getByRole('option', { name: /onerror/ }).click()
    await page.getByRole('option', { name: /onerror/ }).click()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: '1 trace', exact: true }).waitFor()
    assert.equal(await page.locator('img').count(), 0)
  })

  // 60 traces, the newest of which are not the longest: the i-th of them takes lasts(i) ms
  // and has i % 4 errors.
  const lasts = (i) => 10 + ((i * 37) % 60) * 10
  const order = (by) => Array.from({ length: 60 }, (_, i) => i).toSorted((a, b) => b - a).slice(0, by.of).toSorted(by.sort)
  /** results are the numbers of the traces of the table, from above. */
  const results = (page) => page.getByRole('region', { name: 'Results' }).locator('tbody a').evaluateAll((links) => links.map((a) => parseInt(a.href.slice(-8), 16) & 0xff))
  it('puts those that are shown in order, and says which those are', async (t) => {
    await send(world.otlp, 'sorted', Array.from({ length: 60 }, (_, i) => {
      const of = (n, more) => span(hex(0xc0000000 + i), `op ${n}`, { spanId: hex(0xd0000000 + i * 16 + n).slice(16), startTimeUnixNano: `${began + i * 1000}000000`, endTimeUnixNano: `${began + i * 1000 + lasts(i)}000000`, ...more })
      return [of(0), ...Array.from({ length: i % 4 }, (_, n) => of(n + 1, { parentSpanId: hex(0xd0000000 + i * 16).slice(16), status: { code: 2 } }))]
    }).flat())
    const page = await open(t, world.empty, '/traces?service=sorted')
    await until(async () => {
      await page.reload()
      return page.getByRole('heading', { name: '50 of 60 traces' }).waitFor({ timeout: 3000 }).then(() => page.getByRole('checkbox', { name: 'sorted 150', exact: true }).waitFor({ timeout: 1000 })).then(() => true, () => false)
    })
    const head = (name) => page.getByRole('columnheader', { name })
    assert.deepEqual(await results(page), order({ of: 50, sort: (a, b) => b - a }))
    assert.equal(await head('Time').getAttribute('aria-sort'), 'descending')
    await page.getByRole('button', { name: 'Duration' }).click()
    await page.waitForURL((u) => u.searchParams.get('order') === 'longest')
    await seen(page, 'the newest; the longest of those shown first')
    assert.deepEqual(await results(page), order({ of: 50, sort: (a, b) => lasts(b) - lasts(a) }))
    assert.equal(await head('Duration').getAttribute('aria-sort'), 'descending')
    await page.getByRole('button', { name: 'Show more' }).click()
    await seen(page, 'complete; the longest first')
    assert.deepEqual(await results(page), order({ of: 60, sort: (a, b) => lasts(b) - lasts(a) }))
    await page.keyboard.press('o')
    await page.waitForURL((u) => u.searchParams.get('order') === 'errors')
    await seen(page, 'complete; most errors first')
    assert.deepEqual(await results(page), order({ of: 60, sort: (a, b) => (b % 4) - (a % 4) || b - a }))
    await page.reload()
    await seen(page, 'the newest; most errors of those shown first')
    assert.deepEqual(await results(page), order({ of: 50, sort: (a, b) => (b % 4) - (a % 4) || b - a }))
    await page.keyboard.press('j') // rows are gone through as they are shown
    await page.keyboard.press('Enter')
    await page.waitForURL(new RegExp(`/traces/${hex(0xc0000000 + 59)}`))
    await page.goBack()
    await seen(page, 'the newest; most errors of those shown first')
    await until(async () => { // goes to the overview, and orders nothing; a busy machine may press too late
      await page.keyboard.press('g')
      await page.keyboard.press('o')
      return new URL(page.url()).pathname === '/' && new URL(page.url()).search === ''
    })
  })

  it('compares two that are picked, by keys and by the pointer', async (t) => {
    const page = await open(t, world.empty, '/traces?service=sorted&order=longest')
    await seen(page, 'the newest; the longest of those shown first')
    const [first, second, third] = (await results(page)).map((i) => hex(0xc0000000 + i))
    const picked = page.getByRole('group', { name: 'Picked to compare' })
    for (const key of ['j', 'x']) await page.keyboard.press(key)
    await seen(page, 'Pick another to compare it with')
    await page.keyboard.press('c') // with one alone there is nothing to compare
    for (const key of ['j', 'x']) await page.keyboard.press(key)
    await page.waitForURL((u) => u.searchParams.get('pick') === `${first}~${second}`)
    await picked.getByRole('link', { name: 'Compare' }).waitFor()
    await accessible(page, 'picked')
    await page.keyboard.press('c')
    await page.waitForURL(`${world.empty}/compare?a=${first}&b=${second}`)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.goBack()
    await picked.getByRole('link', { name: 'Compare' }).waitFor()
    // A third takes the place of the first; what is picked stays so in other answers.
    await page.getByRole('checkbox', { name: /^Pick / }).nth(2).click()
    await page.waitForURL((u) => u.searchParams.get('pick') === `${second}~${third}`)
    await page.getByLabel('At least').fill('10s')
    await page.keyboard.press('Enter')
    await seen(page, /^Nothing matches/)
    await picked.getByText('not among the rows below').first().waitFor()
    await picked.getByRole('link', { name: 'Compare' }).click()
    await page.waitForURL(`${world.empty}/compare?a=${second}&b=${third}`)
    await page.goBack()
    await picked.getByRole('button', { name: 'Drop' }).first().click()
    await page.waitForURL((u) => u.searchParams.get('pick') === third)
    await picked.getByRole('button', { name: 'Clear' }).click()
    await picked.waitFor({ state: 'detached' })
    await page.goto(`${world.empty}/traces?service=sorted&pick=${first}~${second}`)
    await picked.getByRole('link', { name: 'Compare' }).waitFor()
    await narrow(page, 'two picked')
  })

  for (const theme of ['light', 'dark']) {
    it(`is accessible and no wider than a telephone, ${theme}`, async (t) => {
      const page = await open(t, world.empty, `/traces?service=${service}`, { theme })
      await page.getByRole('checkbox', { name: 'pro 20', exact: true }).waitFor()
      await page.getByRole('application').locator('svg').waitFor()
      await page.getByText('Table', { exact: true }).click()
      await page.getByText('Saved', { exact: true }).click()
      await accessible(page, `search, ${theme}`)
      await narrow(page)
      await accessible(page, `search on a telephone, ${theme}`)
    })
  }
})
