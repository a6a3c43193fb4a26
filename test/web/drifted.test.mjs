// A mesh whose data drifted: from an alert to the spans that moved it, by mouse and keys.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { accessible, narrow, open, rated, seen, until, world } from './lib.mjs'

describe('a mesh whose data drifted', { concurrency: false }, () => {
  it('leads from the overview to the alert, the trace that moved it, and back', async (t) => {
    const page = await open(t, world.demo, '/')
    await seen(page, 'One model has moved. Everything else holds.')
    await seen(page, /Books balance/)
    await seen(page, /^[\d.,]+ \/s$/)
    await seen(page, /[\d.,]+ spans, [\d.,]+ records|[\d.,]+ records, [\d.,]+ spans/)
    await page.getByRole('link', { name: /wine\/red\/0\.1\.0 moved: alcohol/ }).click()
    await page.getByRole('heading', { name: /wine\/red\/0\.1\.0 moved: alcohol/ }).waitFor()
    await page.getByRole('row', { name: /alcohol moved psi/ }).waitFor()
    await page.getByRole('button', { name: /reference .* current .* adds/ }).first().waitFor()
    const alert = page.url()
    await page.getByRole('link', { name: /GET \/wines/ }).first().click()
    await page.getByRole('row', { name: /model\.predict/ }).waitFor()
    await page.getByRole('row', { name: /dwell records/ }).first().waitFor()
    await page.goBack()
    await page.getByRole('heading', { name: /moved: alcohol/ }).waitFor()
    assert.equal(page.url(), alert)
  })

  it('acknowledges and silences an alert, and ends the silence', async (t) => {
    const page = await open(t, world.demo, '/alerts')
    await page.getByRole('link', { name: /moved: alcohol/ }).first().click()
    await page.getByRole('button', { name: 'Acknowledge' }).click()
    await seen(page, /acknowledged by/)
    await page.getByText('Silence', { exact: true }).first().click()
    await page.getByRole('textbox', { name: 'Why' }).fill('a campaign that we know of')
    await accessible(page, 'silence')
    await page.getByRole('button', { name: 'Silence' }).click()
    await page.goto(world.demo + '/alerts')
    await page.getByRole('row', { name: /wine\/red shape a campaign that we know of/ }).getByRole('button', { name: 'End' }).click()
    await seen(page, 'None holds.')
  })

  it('shows a model: what moved, its distribution, and the traces of a bin', async (t) => {
    const page = await open(t, world.demo, '/models')
    await page.getByRole('link', { name: 'wine/red' }).first().click()
    await page.getByRole('heading', { name: /has moved in \d+ of 11/ }).waitFor()
    await page.getByRole('button', { name: 'density', exact: true }).click()
    await page.getByRole('heading', { name: 'density', exact: true }).waitFor()
    await page.getByRole('button', { name: 'alcohol', exact: true }).click()
    const bins = page.getByRole('button', { name: /reference .* current/ })
    await bins.first().waitFor()
    await bins.last().press('Enter')
    await page.getByRole('heading', { name: /Records in/ }).waitFor()
    assert.match(page.url(), /feature=alcohol.*bin=\d+/)
    await page.getByRole('link', { name: /trace/ }).first().waitFor()
    // The shares of the table are those of the scores, and add up.
    const figure = page.getByRole('region', { name: 'Reference and current', exact: true })
    await figure.getByText('Table', { exact: true }).click()
    const shares = await figure.locator('details table tbody tr td:nth-child(3)').allTextContents()
    const sum = shares.reduce((n, s) => n + Number.parseFloat(s), 0)
    assert.ok(Math.abs(sum - 100) < 0.1, `current shares add up to ${sum}`)
  })

  it('finds traces by what one types, and keeps the question in the address', async (t) => {
    const page = await open(t, world.demo, '/traces')
    await page.getByLabel('Service', { exact: true }).fill('rating-api')
    await page.getByLabel('At least').fill('nonsense')
    await page.getByRole('button', { name: 'Search' }).click()
    await seen(page, /nonsense is no duration/)
    await page.getByLabel('At least').fill('1us')
    await page.getByLabel('Errors only').check()
    await page.getByRole('button', { name: 'Search' }).click()
    await page.waitForURL(/service=rating-api.*min=1us.*errors=1/)
    await page.getByRole('row').nth(1).waitFor()
    for (const shape of (await page.getByRole('img', { name: /^Services: / }).all()).slice(0, 5)) assert.match(await shape.getAttribute('aria-label'), /rating-api/)
    assert.ok((await page.getByRole('img', { name: /^Services: .*rating-api/ }).count()) > 0)
    await page.goto(world.demo + '/traces?service=nobody')
    await seen(page, 'Nothing matches service in this time.')
    await page.getByRole('button', { name: 'Without service' }).click()
    await page.getByRole('row').nth(1).waitFor()
  })

  it('is driven by keys', async (t) => {
    const page = await open(t, world.demo, '/')
    await seen(page, 'One model has moved')
    await until(async () => { // keys that are pressed more than a second apart, as a busy machine does, are none
      await page.keyboard.press('g')
      await page.keyboard.press('t')
      return /\/traces$/.test(page.url())
    })
    await page.goto(`${world.demo}/traces?operation=model.predict`)
    await page.getByRole('row', { name: /GET \/wines/ }).nth(2).waitFor()
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/traces\/[0-9a-f]{32}/)
    await until(async () => { // all of it may not be there yet
      await page.getByRole('treegrid').waitFor()
      return (await page.getByRole('treegrid').getByRole('row').count()) > 3 || page.reload().then(() => false)
    })
    await page.keyboard.press('j')
    await page.waitForURL(/span=/)
    await page.keyboard.press('Escape')
    await page.waitForURL((u) => !u.search.includes('span='))
    const before = await page.getByRole('treegrid').getByRole('row').count()
    await page.keyboard.press('[')
    await page.waitForFunction((n) => document.querySelectorAll('[role=treegrid] [role=row]').length < n, before)
    await page.keyboard.press('?')
    await page.getByRole('heading', { name: 'Keys' }).waitFor()
    await page.keyboard.press('Escape')
    const trace = page.url().match(/[0-9a-f]{32}/)[0]
    await page.keyboard.press('Control+k')
    await page.getByRole('option', { name: 'model-server' }).waitFor()
    await accessible(page, 'palette')
    await page.keyboard.type('wine/red')
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/models\/wine\/red\//)
    await page.keyboard.press('Control+k')
    await page.keyboard.type(trace)
    await page.keyboard.press('Enter')
    await page.waitForURL(new RegExp(`/traces/${trace}`))
  })

  for (const theme of ['light', 'dark']) {
    for (const [name, path, ready] of [
      ['overview', '/', 'One model has moved'], ['traces', '/traces', 'GET /wines'], ['models', '/models', 'wine/red'],
      ['model', '/models/wine/red/0.1.0', 'has moved in'], ['alerts', '/alerts', 'moved: alcohol'], ['pipeline', '/pipeline', 'accepted'],
    ]) {
      it(`${name} is accessible, ${theme}`, async (t) => {
        const page = await open(t, world.demo, path, { theme })
        await seen(page, ready)
        await accessible(page, `${name}, ${theme}`)
        if (world.shots) await page.screenshot({ path: `${world.shots}/${name}-${theme}.png` })
        await narrow(page, name)
      })
    }
    it(`a trace is accessible, ${theme}`, async (t) => {
      const page = await open(t, world.demo, `/traces/${(await rated(1))[0].trace_id}`, { theme })
      await page.getByRole('row', { name: /model\.predict/ }).click()
      await seen(page, /Attributes \d/)
      await accessible(page, `trace, ${theme}`)
      if (world.shots) await page.screenshot({ path: `${world.shots}/trace-${theme}.png` })
    })
  }
})
