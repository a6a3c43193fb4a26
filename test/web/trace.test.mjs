// A trace in depth, and two held against each other. Every number that is looked for
// follows from the spans that are sent here.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { accessible, ask, narrow, open, rated, seen, send, slowly, until, world } from './lib.mjs'

const hex = (n, digits) => n.toString(16).padStart(digits, '0')
let made = 0x7a0
/** a trace of spans [service, name, parent, from ms, took ms, more], sent and findable. */
async function trace(spans) {
  const id = hex(++made, 8) + hex(Date.now(), 24)
  const begin = BigInt(Date.now() - 3000) * 1_000_000n
  const ns = (ms) => String(begin + BigInt(Math.round(ms * 1e6)))
  const span = (i) => hex(made * 100 + i + 1, 16)
  for (const [i, [service, name, parent, from, took, more]] of spans.entries()) {
    await send(world.otlp, service, [{ traceId: id, spanId: span(i), parentSpanId: parent < 0 ? '' : span(parent), name, kind: 1, startTimeUnixNano: ns(from), endTimeUnixNano: ns(from + took), ...more }])
  }
  await until(async () => (await ask(world.empty, '/api/v1/traces:search', { query: { trace_ids: [id] } })).traces?.[0]?.spans === spans.length)
  return { id, span }
}

const attributes = (of) => ({ attributes: Object.entries(of).map(([key, v]) => ({ key, value: typeof v === 'number' ? { intValue: String(v) } : { stringValue: v } })) })
const evil = '<img src=x onerror=alert(1)>'
describe('two traces', { concurrency: false }, () => {
  let a
  let b
  it('are compared span by span, with what differs and by how much', async (t) => {
    a = await trace([['api', 'GET /basket', -1, 0, 100, {}], ['db', 'query', 0, 10, 20, attributes({ 'db.statement': 'select one', rows: 3 })], ['db', 'query', 0, 30, 20, attributes({ 'db.statement': 'select one', rows: 3 })], ['cache', 'get', 0, 60, 5, {}]])
    b = await trace([['api', 'GET /basket', -1, 0, 180, {}], ['db', 'query', 0, 10, 120, { ...attributes({ 'db.statement': evil, rows: 3 }), status: { code: 2, message: 'slow' } }], ['queue', evil, 0, 140, 10, {}]])
    const page = await open(t, world.empty, `/traces/${a.id}`)
    await page.getByRole('treegrid').waitFor()
    await page.keyboard.press('c')
    await page.waitForURL(`**/compare?a=${a.id}`)
    await page.getByRole('row', { name: new RegExp(b.id.slice(0, 8)) }).getByRole('button', { name: /Compare/ }).click()
    await page.waitForURL(`**/compare?a=${a.id}&b=${b.id}`)
    await page.getByRole('heading', { name: 'B took 80 ms longer; most of what differs is in db query (+80 ms).' }).waitFor()
    const rows = async (of) => (await page.getByRole('region', { name: of }).getByRole('row').allInnerTexts()).slice(1).map((r) => r.split(/[\t\n]+/).map((c) => c.trim()).filter(Boolean).join(' | '))
    assert.deepEqual(await rows('Spans of both'), [
      'GET /basket api | slower | 1 | 100 ms 100 % | 180 ms 100 % | +80 ms | −5 ms · 5.0 %',
      'query db | slower | 0 → 1 errors | 2 → 1 | 40 ms 40 % | 120 ms 67 % | +80 ms | +80 ms · 80.0 %',
      'get cache | only A | 1 → 0 | 5 ms 5 % | – | −5 ms | −5 ms · 5.0 %',
      `${evil} queue | only B | 0 → 1 | – | 10 ms 6 % | +10 ms | +10 ms · 10.0 %`,
    ])
    assert.deepEqual(await rows('Attributes that differ'), [`db query | db.statement | select one | ${evil}`, 'db query | status | not there | slow'])
    assert.equal(await page.locator('img').count(), 0)
    await page.getByRole('row', { name: /Spans 4 3 −1/ }).waitFor()
    await page.getByRole('button', { name: 'Only in A 1' }).click()
    await page.waitForURL(/show=a/)
    assert.equal((await rows('Spans of both')).length, 1)
    await page.getByRole('button', { name: 'Swap A and B' }).click()
    await page.getByRole('heading', { name: 'B took 80 ms less; most of what differs is in db query (−80 ms).' }).waitFor()
  })

  for (const theme of ['light', 'dark']) {
    it(`are accessible, ${theme}`, async (t) => {
      const traces = await rated(2)
      const page = await open(t, world.demo, `/compare?a=${traces[1].trace_id}&b=${traces[0].trace_id}`, { theme })
      await page.getByRole('heading', { name: /B took|Both took/ }).waitFor()
      await page.getByRole('region', { name: 'Spans of both' }).getByRole('row', { name: /model\.predict/ }).waitFor()
      await accessible(page, `compare, ${theme}`)
      if (world.shots) await page.screenshot({ path: `${world.shots}/compare-${theme}.png` })
      await narrow(page, 'compare')
    })
  }

  it('stand still for who wants that, and are printed without what one presses', async (t) => {
    const page = await open(t, world.empty, `/compare?a=${a.id}&b=${b.id}`)
    const button = page.getByRole('button', { name: 'Swap A and B' })
    await button.waitFor()
    const moves = () => button.evaluate((e) => getComputedStyle(e).transitionDuration)
    assert.notEqual(await moves(), '0s')
    await page.emulateMedia({ reducedMotion: 'reduce' })
    assert.equal(await moves(), '0s')
    await page.emulateMedia({ media: 'print' })
    for (const gone of ['.rail', '.bar', '.button']) assert.equal(await page.locator(gone).first().isVisible(), false, gone)
    await seen(page, 'In all')
  })

  it('tell moments by the clock, in UTC, or by how long ago they are', async (t) => {
    const page = await open(t, world.empty, `/compare?a=${a.id}`)
    const like = page.getByRole('row', { name: new RegExp(b.id.slice(0, 8)) })
    await like.waitFor()
    assert.match(await like.innerText(), /^\d\d:\d\d:\d\d\t/)
    await page.getByRole('button', { name: 'Absolute' }).click()
    assert.match(await like.innerText(), /^\d.* ago\t/)
    await page.reload()
    await like.waitFor()
    assert.match(await like.innerText(), /^\d.* ago\t/)
    await page.getByRole('button', { name: 'Relative' }).click()
    await page.getByRole('button', { name: 'Local time' }).click()
    const [clock] = (await like.innerText()).split('\t')
    const utc = ['seconds ago', 'now'].map((_, i) => new Date(Date.now() - i * 3_600_000).toISOString().slice(11, 13))
    assert.ok(utc.includes(clock.slice(0, 2)), clock)
  })

  it('say what to do when one is not there', async (t) => {
    const page = await open(t, world.empty, `/compare?a=${a.id}&b=${'feedface'.repeat(4)}`)
    await seen(page, /could not be read|There is no span of B/)
    await page.goto(`${world.empty}/compare?a=zz`)
    await page.getByRole('button', { name: 'Compare' }).first().waitFor()
  })
})

describe('a trace', { concurrency: false }, () => {
  it('is counted by any attribute, and the groups add up to it', async (t) => {
    const shard = (s) => attributes({ shard: s })
    const { id } = await trace([['api', 'GET /sum', -1, 0, 100, {}], ['db', 'read', 0, 0, 10, shard('one')], ['db', 'read', 0, 10, 10, shard('one')], ['db', 'read', 0, 20, 30, shard('two')], ['db', 'write', 0, 50, 20, { ...shard('two'), status: { code: 2 } }]])
    const page = await open(t, world.empty, `/traces/${id}?look=statistics`)
    await page.getByRole('combobox', { name: 'By' }).fill('shard')
    await page.getByRole('combobox', { name: 'By' }).press('Enter')
    await page.waitForURL(/by=shard/)
    assert.ok(await page.locator('#keys option[value=shard]').count(), 'its own keys complete it')
    const cells = async (rows) => (await rows.allInnerTexts()).map((r) => r.split(/\t+/).map((c) => c.trim()).join(' | '))
    assert.deepEqual((await cells(page.locator('.statistics tbody tr'))).toSorted(), ['(without) | 1 | 0 | 30 ms | 100 ms | 100 ms | 100 ms', 'one | 2 | 0 | 20 ms | 20 ms | 10 ms | 10 ms', 'two | 2 | 1 | 50 ms | 50 ms | 25 ms | 30 ms'])
    assert.deepEqual(await cells(page.locator('.statistics tfoot tr')), ['All of 3 | 5 | 1 | 100 ms | 170 ms | 34 ms | 100 ms'])
    await accessible(page, 'statistics')
    await page.getByRole('combobox', { name: 'By' }).fill('nothing')
    await page.getByRole('combobox', { name: 'By' }).press('Enter')
    await seen(page, 'No span of this trace has the attribute nothing.')
  })

  it('is searched for a text, and short spans are hidden', async (t) => {
    const { id, span } = await trace([['api', 'GET /find', -1, 0, 100, {}], ['db', 'read', 0, 0, 50, {}], ['db', 'deep', 1, 5, 2, attributes({ customer: 'Grüße-4711' })], ['db', 'other', 0, 60, 3, {}], ['db', 'last', 0, 70, 20, { events: [{ name: 'note', timeUnixNano: `${Date.now()}000000`, attributes: attributes({ text: 'for 4711' }).attributes }] }]])
    const page = await open(t, world.empty, `/traces/${id}`)
    await page.getByRole('treegrid').waitFor()
    await page.getByRole('button', { name: 'Fold', exact: true }).first().click() // what is found is shown, folded or not
    await page.keyboard.press('/')
    await slowly(page, () => page.keyboard.type('typed faster than drawn'))
    assert.equal(await page.getByRole('textbox', { name: 'Find' }).inputValue(), 'typed faster than drawn')
    await page.getByRole('textbox', { name: 'Find' }).fill('4711')
    await seen(page, '2 spans')
    await page.keyboard.press('Enter')
    await page.waitForURL(new RegExp(`span=${span(2)}`))
    await seen(page, '1 of 2')
    await page.getByRole('row', { name: /deep/ }).locator('mark').waitFor()
    await page.getByRole('treegrid').getByRole('row', { name: /deep/ }).click()
    await page.keyboard.press('n')
    await page.waitForURL(new RegExp(`span=${span(4)}`))
    await page.keyboard.press('n')
    await page.waitForURL(new RegExp(`span=${span(2)}`))
    await page.keyboard.press('Shift+N')
    await page.waitForURL(new RegExp(`span=${span(4)}`))
    await page.getByLabel('Hide spans under').selectOption('5')
    await page.getByRole('row', { name: /other/ }).waitFor({ state: 'detached' })
    assert.equal(await page.getByRole('treegrid').getAttribute('aria-rowcount'), '3')
    await page.keyboard.press('n') // a match that is hidden comes back
    await page.getByRole('row', { name: /deep/ }).waitFor()
    await page.getByRole('textbox', { name: 'Find' }).fill('nowhere')
    await seen(page, 'no span')
  })

  it('shows apart what went into a model and came out, and where something was thrown', async (t) => {
    const { id, span } = await trace([
      ['agent', 'chat', -1, 0, 100, { ...attributes({
        'gen_ai.request.model': 'some-model', 'gen_ai.usage.input_tokens': 42, 'gen_ai.input.messages': JSON.stringify([{ role: 'user', parts: [{ type: 'text', content: `What is ${evil}?` }] }]),
        'gen_ai.output.messages': JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content: 'A picture.' }] }]),
      }), status: { code: 2 }, events: [{ name: 'exception', timeUnixNano: `${Date.now()}000000`, attributes: attributes({ 'exception.type': 'ValueError', 'exception.message': evil, 'exception.stacktrace': 'ValueError\n  at line 7' }).attributes }] }],
      ['agent', 'tool', 0, 10, 20, attributes({ 'input.value': 'plain', 'output.value': '{"n":1}' })], ['agent', 'tool', 0, 30, 40, attributes({ odd: 'yes' })],
    ])
    const page = await open(t, world.empty, `/traces/${id}?span=${span(0)}`)
    const drawer = page.getByRole('complementary', { name: 'Span' })
    await drawer.getByText(`What is ${evil}?`).waitFor()
    await drawer.getByText('A picture.').waitFor()
    await drawer.getByText('some-model').waitFor()
    await drawer.getByText(`ValueError: ${evil}`).waitFor()
    assert.equal(await drawer.getByLabel('Stack trace').innerText(), 'ValueError\n  at line 7')
    await accessible(page, 'in and out')
    await page.getByRole('row', { name: /tool/ }).first().click()
    await drawer.getByText('"n": 1').waitFor()
    await seen(page, /Longer than 0 % of its 1 sibling in this trace/)
    assert.equal(await page.locator('img').count(), 0)
    await narrow(page, 'a span')
  })

  it('leads from a span to the values of its record, and to the model', async (t) => {
    let record
    await until(async () => {
      for (const { trace_id } of await rated(5)) record ??= (await ask(world.demo, `/api/v1/records?trace_id=${trace_id}`)).records[0]
      return record
    })
    const page = await open(t, world.demo, `/traces/${record.trace_id}?span=${record.span_id}&tab=records`)
    const shown = page.getByRole('region', { name: `Record ${record.record.id}` })
    await shown.waitFor()
    const alcohol = record.record.features.values.find((v) => v.name === 'alcohol').float
    const values = await shown.locator('.values > div').allInnerTexts()
    assert.equal(values.length, record.record.features.values.length)
    assert.match(values.find((v) => v.startsWith('alcohol')), new RegExp(`float\\s+${Number(alcohol.toPrecision(4))}$`))
    await accessible(page, 'record')
    await shown.getByRole('link', { name: 'alcohol' }).click()
    await page.waitForURL(/\/models\/wine\/red\/.*feature=alcohol/)
  })
})
