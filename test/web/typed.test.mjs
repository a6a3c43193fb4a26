// What is typed stays as it was typed, however slow the page is and whatever comes
// meanwhile.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ask, login, long, open, seen, stays, until, world } from './lib.mjs'

/** press presses a button as others do, not who types: the focus stays where it is. */
const press = (page, name) => page.getByRole('button', { name, exact: true }).first().evaluate((b) => b.click())
/** anew has everything drawn again that tells a time. */
const anew = (page) => async () => {
  const word = () => page.getByRole('button', { name: /^(UTC|Local time)$/ }).textContent()
  const was = await word()
  await press(page, was)
  await until(async () => (await word()) !== was)
}

describe('what is typed', { concurrency: false }, () => {
  it('stays in the search for traces, whatever else is chosen', async (t) => {
    const page = await open(t, world.demo, '/traces')
    const facet = page.getByRole('checkbox', { name: /^error / })
    await facet.waitFor()
    const narrowed = async (on) => {
      await facet.evaluate((box) => box.click())
      await page.waitForURL((u) => u.searchParams.has('errors') === on)
      await page.getByRole('checkbox', { name: 'Errors only', checked: on }).waitFor()
    }
    await stays(page, page.getByLabel('Operation'), { anew: () => narrowed(true) })
    await stays(page, page.getByRole('combobox', { name: 'Tags' }), { anew: () => narrowed(false) })
    await page.getByRole('combobox', { name: 'Tags' }).fill('')
    const service = page.getByRole('combobox', { name: 'Service' })
    await stays(page, service, { anew: anew(page) })
    await page.keyboard.press('Enter') // the focus stays too, and who goes back sees what was asked there
    await page.waitForURL((u) => u.searchParams.get('service') === long)
    assert.ok(await service.evaluate((i) => i === document.activeElement))
    await seen(page, /^Nothing matches/)
    await page.goBack()
    await until(async () => (await service.inputValue()) === '')
    await page.getByText('Saved', { exact: true }).click()
    await stays(page, page.getByLabel('Save this search as'), { anew: anew(page) })
  })

  it('stays in the live tail, whatever arrives', async (t) => {
    let go
    const known = new Promise((done) => { go = done })
    const page = await open(t, world.demo, '/models')
    await page.route('**/api/v1/profiles*', async (route) => { await known; await route.continue() })
    await page.goto(world.demo + '/tail')
    await page.getByRole('status').filter({ hasText: 'watching' }).waitFor()
    await stays(page, page.getByRole('combobox', { name: 'Service' }))
    await stays(page, page.getByLabel('Span name'), { anew: async () => {
      const answer = page.waitForResponse('**/api/v1/profiles*')
      go() // the profiles, which are late
      await (await answer).finished()
      await anew(page)()
    } })
    assert.equal(await page.getByRole('combobox', { name: 'Service' }).inputValue(), long)
  })

  it('stays in a backtest and in the statistics of a trace', async (t) => {
    const page = await open(t, world.demo, '/models/wine/red/0.1.0/backtest')
    await stays(page, page.getByLabel('Schedule, correction and monitors, as JSON'), { what: 'more', before: await page.getByLabel('Schedule, correction and monitors, as JSON').inputValue(), anew: anew(page) })
    await page.getByRole('button', { name: 'As it is' }).click()
    for (const field of ['Method', 'Schedule (cron)']) {
      await page.getByLabel(field).fill('')
      await stays(page, page.getByLabel(field), { anew: anew(page) })
    }
    await page.getByLabel('Threshold', { exact: true }).fill('no number')
    await page.keyboard.press('Enter')
    await until(async () => Number(await page.getByLabel('Threshold', { exact: true }).inputValue()) > 0)
    const { traces } = await ask(world.demo, '/api/v1/traces:search', { query: {}, page_size: 1 })
    await page.goto(`${world.demo}/traces/${traces[0].trace_id}?look=statistics`)
    await page.getByRole('combobox', { name: 'By' }).fill('')
    await stays(page, page.getByRole('combobox', { name: 'By' }), { anew: async () => {
      await press(page, 'Errors only')
      await page.waitForURL(/errors=1/)
    } })
  })

  it('stays in the palette and where settings are found', async (t) => {
    const page = await open(t, world.empty, '/')
    await page.getByRole('button', { name: 'Log in' }).click()
    await login(page, 'admin', world.secret, 'driftmesh')
    await seen(page, /^admin · /)
    await page.goto(world.empty + '/admin?room=settings')
    const find = page.getByLabel('Find')
    await find.waitFor()
    await stays(page, find)
    await page.waitForURL((u) => u.searchParams.get('q') === long)
    await page.reload()
    await until(async () => (await find.inputValue()) === long)
    await page.keyboard.press('Control+k')
    await stays(page, page.getByLabel('A screen, a service, a model or the id of a trace'))
  })
})
