// Models: how they stand, one of them in full, what another monitor would have done, and
// their alerts. What is seen is held against what the API answers.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, describe, it } from 'node:test'
import { accessible, ask, login, narrow, open, seen, standStill, until, world } from './lib.mjs'

const red = '/models/wine/red/0.1.0'

const demo = (path, body) => ask(world.demo, path, body)
const profileOf = async () => (await demo(`/api/v1/profiles/${encodeURIComponent('wine/red/0.1.0')}`)).profile
const region = (page, name) => page.getByRole('region', { name, exact: true })

/** table is what stands in the table behind a figure, by row. */
async function table(figure) {
  if (!(await figure.locator('details').evaluate((d) => d.open))) await figure.getByText('Table', { exact: true }).click()
  return figure.locator('tbody tr').evaluateAll((rows) => rows.map((r) => [...r.children].map((c) => c.textContent)))
}

/** saved is the text of the file that a button gives. */
async function saved(page, button) {
  const [file] = await Promise.all([page.waitForEvent('download'), button.click()])
  return { name: file.suggestedFilename(), data: readFileSync(await file.path()) }
}

const evil = '<img src=x onerror=alert(1)>'
let stranger // the token of one who made a profile of such names

before(async () => {
  stranger = (await ask(world.empty, '/api/v1/login', { tenant: world.tenant, username: world.admin, password: world.secret })).token
  await ask(world.empty, '/api/v1/profiles', {
    profile: {
      space: 'ml', name: 'evil', active: true, reference_rows: '10', features: [
        { name: evil, type: 'int', kind: 'FEATURE_KIND_NUMERIC', edges: [30.5], counts: ['5', '5'], baseline: { rows: '10', min: 1, max: 60, mean: 30, std_dev: 9 } },
        { name: '=cmd()', type: 'string', kind: 'FEATURE_KIND_CATEGORY', categories: [evil, 'b'], counts: ['5', '5'], baseline: { rows: '10' } },
      ],
    },
  }, stranger)
})

describe('models', { concurrency: false }, () => {
  it('shows on the overview how each feature stands, in one question', async (t) => {
    const asked = []
    const page = await open(t, world.demo, '/alerts')
    page.on('request', (r) => asked.push(new URL(r.url()).pathname))
    await page.goto(world.demo + '/')
    const row = page.getByRole('row', { name: /wine\/red\/0\.1\.0/ })
    const cell = row.getByRole('link', { name: /^alcohol: moved, psi/ })
    await cell.waitFor()
    assert.equal(asked.filter((p) => p === '/api/v1/profile-statuses').length, 1)
    assert.deepEqual(asked.filter((p) => p === '/api/v1/scores' || p === '/api/v1/profiles'), [])
    assert.equal(await row.locator('a.cell').count(), 11)
    assert.match(await cell.textContent(), /[◇◆▲]/, 'severity is a shape too')
    await cell.click()
    await page.waitForURL(/\/models\/wine\/red\/0\.1\.0\?feature=alcohol&monitor=shape/)
    await page.getByRole('heading', { name: 'alcohol', exact: true }).waitFor()
  })

  it('keeps the matrix readable with 20 models of 30 features', async (t) => {
    const page = await open(t, world.demo, '/alerts')
    const { statuses: [one] } = await demo('/api/v1/profile-statuses')
    const of = (m, f) => ({ ...one.scores[0], feature: `feature ${f}`, value: f < m % 5 ? 0.3 * 2 ** f : 0.01, threshold: 0.25, verdict: f < m % 5 ? 'VERDICT_DRIFT' : f === 29 ? 'VERDICT_INSUFFICIENT' : 'VERDICT_OK' })
    const statuses = Array.from({ length: 20 }, (_, m) => ({ ...one, profile: { ...one.profile, uid: `u${m}`, name: `a-rather-long-name-of-a-model-${m}` }, moved: m % 5, ok: 29 - (m % 5), insufficient: 1, scores: Array.from({ length: 30 }, (_, f) => of(m, f)) }))
    await page.route('**/api/v1/profile-statuses*', (r) => r.fulfill({ json: { statuses, next_page_token: '' } }))
    await page.goto(world.demo + '/')
    const card = region(page, 'Models')
    await card.getByRole('row', { name: /model-19/ }).waitFor()
    assert.equal(await card.locator('a.cell').count(), 600)
    const heights = await card.locator('tbody tr').evaluateAll((rows) => rows.map((r) => r.getBoundingClientRect().height))
    assert.equal(heights.length, 20)
    assert.ok(Math.max(...heights) < 45, `a line is ${Math.max(...heights)} pixels high`)
    const worst = card.getByRole('row', { name: /model-4\b/ }).locator('a.cell')
    assert.deepEqual(await worst.evaluateAll((cells) => cells.slice(0, 5).map((c) => c.textContent)), ['▲', '▲', '◇', '◇', ''], 'worst first')
    assert.ok((await worst.last().getAttribute('class')).includes('hatched'))
    await accessible(page, 'a large matrix')
    if (world.shots) await page.screenshot({ path: `${world.shots}/matrix-light.png` })
    await narrow(page)
  })

  it('ranks features over the chosen time, and keeps that in the address', async (t) => {
    const page = await open(t, world.demo, red)
    const first = region(page, 'Features').locator('tbody tr').first()
    await first.waitFor()
    const now = new Date().toISOString()
    const { series } = await demo(`/api/v1/series?profile=wine/red&trigger=close&points=48&start_time=${new Date(Date.now() - 864e5).toISOString()}&end_time=${now}`)
    const most = (s) => Math.max(0, ...s.points.map((p) => (p.max ?? 0) / p.threshold))
    const drifted = (s) => s.points.some((p) => p.drifted > 0)
    const best = series.toSorted((a, b) => Number(drifted(b)) - Number(drifted(a)) || most(b) - most(a))[0]
    await until(async () => (await first.locator('td').first().textContent()) === best.feature)
    await page.getByRole('button', { name: 'Last slot' }).click()
    await page.waitForURL(/rank=slot/)
    await page.reload()
    await first.waitFor()
    assert.equal(await page.getByRole('button', { name: 'Last slot' }).getAttribute('aria-pressed'), 'true')
    const file = await saved(page, page.getByRole('button', { name: 'red features as CSV' }))
    const lines = file.data.toString().trim().split('\r\n')
    assert.equal(lines[0], 'feature,monitor,detector,verdict,value,threshold,most_times,slots,drifted,n')
    assert.equal(lines.length, 12)
  })

  it('states what makes a verdict believable, and draws cumulative shares with the gap of the bins', async (t) => {
    const page = await open(t, world.demo, `${red}?feature=alcohol`)
    const facts = page.getByRole('group', { name: 'Evidence' })
    await facts.waitFor()
    for (const word of ['threshold 0.25', 'reference 800', 'False alarms, by design', 'needs 200']) await facts.getByText(word).first().waitFor()
    const figure = region(page, 'Cumulative')
    await figure.waitFor()
    await standStill(page)
    const rows = await table(figure)
    // The gap, anew from the bins that the page shows.
    const bins = (await table(region(page, 'Reference and current'))).map((r) => r.map((c) => Number.parseFloat(c) / 100))
    let [was, is, gap] = [0, 0, 0]
    for (const [i, b] of bins.slice(0, rows.length).entries()) {
      was += b[1]
      is += b[2]
      gap = Math.max(gap, Math.abs(was - is))
      assert.ok(Math.abs(Number.parseFloat(rows[i][1]) / 100 - was) < 1e-3 && Math.abs(Number.parseFloat(rows[i][2]) / 100 - is) < 1e-3, `edge ${rows[i][0]}`)
    }
    const stated = Number((await figure.getByText(/^KS gap/).first().textContent()).match(/KS gap ([\d.]+)/)[1])
    assert.ok(gap > 0.1 && Math.abs(stated - gap) < 2e-3, `${stated} is not ${gap}`)
    assert.equal(rows.length, bins.length - 1)
  })

  it('draws a control chart of what was counted, with the rules that it breaks', async (t) => {
    const page = await open(t, world.demo, `${red}?feature=alcohol&range=1h`)
    const figure = region(page, 'Control chart')
    await figure.waitFor()
    await standStill(page)
    const rows = await table(figure)
    const { features } = await profileOf()
    const alcohol = features.find((f) => f.name === 'alcohol')
    const end = Math.ceil(Date.now() / 6e4) * 6e4
    const { steps } = await demo(`/api/v1/summaries?profile=wine/red&step=60s&start_time=${new Date(end - 36e5).toISOString()}&end_time=${new Date(end).toISOString()}`)
    const points = steps.map((s) => s.features.find((f) => f.name === 'alcohol')).filter((f) => Number(f?.number) > 0)
    // Minutes go by between both questions: those that are whole in both are the same.
    const of = (r) => points.filter((p) => p.number === r[1].replaceAll(',', '') && p.mean.toPrecision(4) === Number(r[2]).toPrecision(4))
    const both = rows.filter((r) => of(r).length > 0)
    assert.ok(both.length >= rows.length - 2 && both.length > 2, `${both.length} of ${rows.length}`)
    for (const r of both) {
      const zs = of(r).map((p) => (p.mean - alcohol.baseline.mean) / (alcohol.baseline.std_dev * Math.sqrt(1 / Number(p.number) + 1 / Number(alcohol.baseline.rows))))
      assert.ok(zs.some((z) => Math.abs(Number(r[4]) - z) < 0.011), `${r} is not ${zs}`)
    }
    // The rules, anew: hits of so many, beyond, on the side of the last.
    const z = rows.map((r) => Number(r[4]))
    const words = ['1 beyond 3 σ', '2 of 3 beyond 2 σ', '4 of 5 beyond 1 σ', '8 on one side']
    let broken = 0
    rows.forEach((r, i) => {
      const want = [[1, 1, 3], [2, 3, 2], [4, 5, 1], [8, 8, 0]].flatMap(([hits, of, sigma], k) => {
        const last = z.slice(Math.max(0, i - of + 1), i + 1).map((v) => v * Math.sign(z[i]))
        return last.at(-1) > sigma && last.filter((v) => v > sigma).length >= hits ? [words[k]] : []
      })
      assert.equal(r[5], want.join('; ') || 'none', `point ${i}`)
      broken += want.length
    })
    assert.ok(broken > 0, 'strong wines are beyond')
    assert.equal(await figure.locator('path.moved').count(), rows.filter((r) => r[5] !== 'none').length)
  })

  it('reads points out with the arrow keys, and gives charts as files', async (t) => {
    const page = await open(t, world.demo, `${red}?feature=alcohol`)
    const figure = region(page, 'Drift over time')
    const plot = figure.getByRole('group', { name: /read with the arrow keys/ })
    await plot.waitFor()
    await standStill(page)
    await plot.focus()
    await page.keyboard.press('End')
    const said = figure.locator('[aria-live=polite]')
    await until(async () => /Slot .* · n [\d,]+ · Value [\d.]+ · Threshold 0\.25 · Verdict/.test(await said.textContent()))
    const last = await said.textContent()
    await page.keyboard.press('ArrowLeft')
    await until(async () => (await said.textContent()) !== last)
    const file = await saved(page, figure.getByRole('button', { name: /as CSV/ }))
    assert.match(file.name, /^red_alcohol_over_time\.csv$/)
    const [head, ...lines] = file.data.toString().trim().split('\r\n')
    assert.equal(head, 'Slot,n,Value,Threshold,Verdict')
    const rows = await table(figure)
    assert.equal(lines.length, rows.length)
    for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT[^,]+,\d+,[\d.e-]*,[\d.]*,(ok|drift|insufficient)$/)
    const picture = await saved(page, figure.getByRole('button', { name: /as PNG/ }))
    assert.deepEqual([...picture.data.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47])
    assert.ok(picture.data.length > 2000, `a picture of ${picture.data.length} bytes`)
  })

  it('marks over a feature when a service began to run another version', async (t) => {
    const at = Date.now() - 180_000
    const answer = await fetch(`${world.demo}/v1/traces`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ resourceSpans: [{ resource: { attributes: [['service.name', 'model-server'], ['service.version', '9.9.9']].map(([key, stringValue]) => ({ key, value: { stringValue } })) }, scopeSpans: [{ spans: [{ traceId: at.toString(16).padStart(32, '0'), spanId: at.toString(16).padStart(16, '0'), name: 'warm up', kind: 1, startTimeUnixNano: `${at}000000`, endTimeUnixNano: `${at + 1}000000` }] }] }] }),
    })
    assert.equal(answer.status, 200)
    const page = await open(t, world.demo, '/models')
    await page.route('**/api/v1/attributes:list', async (route) => { // of so many spans the store looks at some, which one alone may not be among
      const said = await (await route.fetch()).json()
      if (route.request().postDataJSON().key === 'service.version' && said.attributes[0].values.every((v) => v.value !== '9.9.9')) said.attributes[0].values.push({ value: '9.9.9', spans: '1' })
      await route.fulfill({ json: said })
    })
    await page.goto(`${world.demo}${red}?feature=alcohol&range=15m`)
    await page.getByText(/^New versions: model-server 9\.9\.9, first seen/).waitFor()
    await region(page, 'Drift over time').locator('svg text', { hasText: '9.9.9' }).waitFor()
  })

  it('gives the profile as JSON', async (t) => {
    const page = await open(t, world.demo, red)
    await page.getByRole('button', { name: 'Profile JSON' }).click()
    await page.waitForURL(/view=json/)
    const file = await saved(page, page.getByRole('button', { name: 'Download' }))
    assert.equal(file.name, 'wine-red-0.1.0.json')
    assert.deepEqual(JSON.parse(file.data), await profileOf())
  })

  it('tries another threshold and method on what is stored, draws it, and saves it as a version', async (t) => {
    const page = await open(t, world.demo, `${red}/backtest?range=1h`)
    const editor = page.getByLabel(/as JSON/)
    await editor.waitFor()
    // What is wrong is said beside it: by the page, and by the service with the field.
    await editor.fill('{"monitors": [')
    await seen(page, /This is no JSON/)
    await page.getByRole('button', { name: 'As it is' }).click()
    await page.getByLabel('Method').fill('guess')
    await page.getByLabel('Method').press('Tab')
    await page.getByRole('button', { name: 'Run the backtest' }).click()
    await page.getByRole('alert').filter({ hasText: /monitor shape: there is no detector guess/ }).waitFor()
    await accessible(page, 'backtest, wrong')
    await page.getByLabel('Method').fill('psi')
    await page.getByLabel('Threshold', { exact: true }).fill('0.05')
    await page.getByLabel('Schedule (cron)').fill('* * * * *')
    await page.getByLabel('Schedule (cron)').press('Tab')
    await page.getByRole('button', { name: 'Run the backtest' }).click()
    await page.getByRole('heading', { name: /alerts? instead of \d+, in \d+ slots?\./ }).waitFor({ timeout: 60_000 })
    await seen(page, /has no slot in this time: what there is was tried at/)
    const figure = page.getByRole('region', { name: /slots that would have been judged/ })
    const rows = await table(figure)
    assert.ok(rows.length > 3)
    assert.ok(rows.some((r) => r[3] === '0.25' && r[4] === '0.05'), 'both thresholds')
    assert.ok(rows.some((r) => r[6] === 'raised'), 'an alert would have been')
    for (const r of rows.filter((o) => o[5] !== 'insufficient' && o[2] !== '–')) assert.equal(r[5], Number(r[2]) > 0.05 ? 'drift' : 'ok', r.join())
    assert.equal(await figure.locator('path.moved').count(), rows.filter((r) => r[5] === 'drift').length)
    await accessible(page, 'backtest')
    if (world.shots) await page.screenshot({ path: `${world.shots}/backtest-light.png`, fullPage: true })
    // The same from the API.
    assert.equal((await demo('/api/v1/profiles?space=wine')).profiles.length, 1, 'nothing is stored yet')
    await page.getByLabel(/Active, in place/).uncheck()
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await page.getByRole('link', { name: 'wine/red/0.2.0' }).click()
    await page.getByRole('heading', { name: /wine\/red\/0\.2\.0 has not been judged yet/ }).waitFor()
    await region(page, 'Versions').getByRole('row', { name: /0\.2\.0 at rest/ }).waitFor()
    const { profile } = await demo(`/api/v1/profiles/${encodeURIComponent('wine/red/0.2.0')}`)
    assert.equal(profile.monitors[0].threshold.fixed, 0.05)
    assert.equal(profile.schedule.cron, '* * * * *')
    assert.equal(profile.active, false)
    // And on and off again.
    await region(page, 'Versions').getByRole('button', { name: 'Deactivate version 0.1.0' }).click()
    await region(page, 'Versions').getByRole('button', { name: 'Activate version 0.1.0' }).click()
    await region(page, 'Versions').getByRole('button', { name: 'Deactivate version 0.1.0' }).waitFor()
    await narrow(page)
  })

  it('shows an alert by its id alone, and says well that there is none', async (t) => {
    const { alerts } = await demo('/api/v1/alerts?page_size=1')
    const page = await open(t, world.demo, `/alerts/${alerts[0].id}`)
    await page.getByRole('heading', { name: /moved: / }).waitFor()
    // Traces of the bins that hold more beside those of the others.
    await region(page, 'Moved it').getByRole('link', { name: /^trace/ }).first().waitFor()
    await region(page, 'Like the reference').getByText(/^trace|^No record of this time/).first().waitFor()
    await region(page, 'History').getByRole('row', { name: /raised/ }).first().waitFor()
    await accessible(page, 'alert')
    for (const id of ['01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11', encodeURIComponent('<img src=x onerror=alert(1)>')]) {
      await page.goto(`${world.demo}/alerts/${id}`)
      await page.getByRole('heading', { name: 'There is no such alert' }).waitFor()
      await page.getByRole('link', { name: 'All alerts' }).waitFor()
    }
    await accessible(page, 'no alert')
  })

  it('groups alerts and draws them over time', async (t) => {
    const page = await open(t, world.demo, '/alerts?show=all')
    const figure = region(page, 'Timeline')
    await figure.waitFor()
    await until(async () => (await table(figure)).length === (await demo('/api/v1/alerts?page_size=50')).alerts.length) // one may have been raised since
    await standStill(page)
    assert.equal(await figure.locator('rect.span').count(), (await table(figure)).length)
    await region(page, 'wine/red/0.1.0').getByRole('link', { name: /moved: alcohol/ }).first().waitFor()
    await page.getByRole('button', { name: 'By cause' }).click()
    await page.waitForURL(/group=cause/)
    await page.getByRole('heading', { name: /^alcohol \d+ alert/ }).waitFor()
  })

  for (const theme of ['light', 'dark']) {
    it(`a feature, a backtest and alerts are accessible, ${theme}`, async (t) => {
      const page = await open(t, world.demo, `${red}?feature=alcohol&view=json`, { theme })
      await region(page, 'Control chart').waitFor()
      await region(page, 'Cumulative').waitFor()
      await accessible(page, `feature, ${theme}`)
      if (world.shots) await page.screenshot({ path: `${world.shots}/feature-${theme}.png`, fullPage: true })
      await narrow(page)
      await page.setViewportSize({ width: 1280, height: 900 })
      await page.goto(world.demo + '/alerts?show=all')
      await region(page, 'Timeline').waitFor()
      await accessible(page, `alerts, ${theme}`)
      await narrow(page)
      await page.goto(world.demo + `${red}/backtest`)
      await page.getByLabel(/as JSON/).waitFor()
      await accessible(page, `backtest, ${theme}`)
      await narrow(page)
    })
  }
})

describe('models of strangers', { concurrency: false }, () => {
  it('shows markup in names as text, and offers a viewer nothing that it may not do', async (t) => {
    // It can be run once a minute has passed since it was made.
    await until(async () => (await fetch(`${world.empty}/api/v1/profiles:run`, { method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${stranger}` }, body: '{"profile":"ml/evil"}' })).status === 200)
    const page = await open(t, world.empty, '/')
    await page.getByRole('button', { name: 'Log in' }).click()
    await login(page, world.viewer, world.secret)
    await seen(page, `${world.viewer} · viewer`)
    await page.goto(world.empty + '/models/ml/evil/0.1.0')
    await page.getByRole('button', { name: evil, exact: true }).click()
    await page.getByRole('heading', { name: evil, exact: true }).waitFor()
    await region(page, 'Versions').getByRole('row', { name: /0\.1\.0/ }).waitFor()
    assert.equal(await page.locator('img').count(), 0)
    for (const name of ['Run now', 'Put at rest', 'Backtest', 'Save', /^Deactivate/]) assert.equal(await page.getByRole('button', { name }).count() + await page.getByRole('link', { name }).count(), 0, String(name))
    await page.getByRole('button', { name: 'Profile JSON' }).waitFor()
    const file = await saved(page, page.getByRole('button', { name: 'evil features as CSV' }))
    assert.match(file.data.toString(), /\r\n'=cmd\(\),/, 'a spreadsheet takes it for no formula')
    await page.getByRole('button', { name: '=cmd()', exact: true }).click()
    await page.getByRole('button', { name: new RegExp(`^${evil.replaceAll(/[()]/g, '\\$&')}: reference`) }).waitFor()
    await accessible(page, 'evil names')
    await page.goto(world.empty + '/models/ml/evil/0.1.0/backtest')
    await seen(page, 'To run one is not for this role.')
    assert.equal(await page.getByRole('button', { name: 'Run the backtest' }).count(), 0)
  })
})
