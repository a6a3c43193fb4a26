// What the tests of what people see share: a browser for each file, and pages of which
// nothing else may be loaded, said or run. WORLD, set by web_test.go, says where the
// meshes are.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { chromium } from 'playwright-core'

export const world = JSON.parse(process.env.WORLD)
const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
export let browser

before(async () => {
  browser = await chromium.launch({ executablePath: world.browser, args: ['--no-sandbox'] })
})
after(() => browser.close())

/** open is a page of a browser of its own. What the page loads from elsewhere, what it
 * says in the console and what fails in it end the test; but for what a browser says itself
 * of a gateway that is not there, where the test bears that. */
export async function open(t, address, path, { theme = 'light', width = 1280, height = world.shots ? 800 : 900, bears = /40[0134]|50[34]/ } = {}) {
  const context = await browser.newContext({ colorScheme: theme, viewport: { width, height } })
  context.setDefaultTimeout(60_000) // a busy machine is slow
  const page = await context.newPage()
  const wrong = []
  page.on('pageerror', (e) => wrong.push(`error ${e.message}`))
  page.on('dialog', (d) => { wrong.push(`dialog ${d.message()}`); void d.dismiss() })
  page.on('console', (m) => { if (m.type() === 'error' && !bears.test(m.text())) wrong.push(`console ${m.text()}`) })
  page.on('request', (r) => { if (!r.url().startsWith(address) && !r.url().startsWith('data:')) wrong.push(`left the origin: ${r.url()}`) })
  t.after(async () => {
    await context.close()
    assert.deepEqual(wrong, [])
  })
  await page.goto(address + path)
  return page
}

/** seen waits for a text that can be seen. */
export const seen = (page, text) => page.getByText(text).filter({ visible: true }).first().waitFor()

/** until asks until the answer is yes. */
export async function until(yes, minutes = 1) {
  for (const end = Date.now() + minutes * 60_000; !(await yes());) {
    assert.ok(Date.now() < end, `waited ${minutes} min for it`)
    await new Promise((next) => setTimeout(next, 300))
  }
}

/** standStill leaves what is shown as it is: what the page asks from now on is not
 * answered, so that one can read it twice. */
export const standStill = (page) => page.route('**/api/v1/**', () => undefined)

/** slowly does something on a page whose processor is twenty times slower. */
export async function slowly(page, deed) {
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 20 })
  await deed()
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 1 })
  await devtools.detach()
}

export const long = 'typed faster than it is drawn'

/** stays types on a slow page, lets something draw the page anew, and requires that what
 * was typed is there. */
export async function stays(page, field, { what = long, before = '', anew } = {}) {
  await field.focus()
  await page.keyboard.press('Control+End')
  await slowly(page, () => page.keyboard.type(what))
  assert.equal(await field.inputValue(), before + what)
  await anew?.()
  assert.equal(await field.inputValue(), before + what)
}

/** longest are the n longest tasks of the page in a trace of the browser, in ms on the
 * processor. */
export function longest(trace, n) {
  const { traceEvents } = JSON.parse(trace)
  const mains = new Set(traceEvents.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain').map((e) => `${e.pid} ${e.tid}`))
  return traceEvents.filter((e) => mains.has(`${e.pid} ${e.tid}`) && /RunTask/.test(e.name) && e.tdur > 0)
    .map((e) => Math.round(e.tdur / 1000)).sort((a, b) => b - a).slice(0, n)
}

/** rated are n traces of the demo that got as far as the model, as some fail before: the
 * oldest of the newest fifty, of which all has arrived. */
export const rated = async (n) => (await ask(world.demo, '/api/v1/traces:search', { query: { operation: 'model.predict' }, page_size: 50 })).traces.slice(-n)

/** login fills in the form. */
export async function login(page, name, password, tenant = world.tenant) {
  await page.getByLabel('Tenant').fill(tenant)
  await page.getByLabel('Name', { exact: true }).fill(name)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Log in', exact: true }).click()
}

/** accessible requires that axe finds nothing serious. */
export async function accessible(page, what) {
  await page.evaluate(`${axe}; 0`).catch(() => undefined)
  const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations
    .filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(' | ')}`))
  assert.deepEqual(found, [], what)
}

export const span = (id, name, more = {}) => ({ traceId: id, spanId: id.slice(0, 16), name, kind: 2, startTimeUnixNano: `${Date.now()}000000`, endTimeUnixNano: `${Date.now() + 120}000000`, ...more })

export async function send(address, service, spans, headers = {}) {
  const answer = await fetch(`${address}/v1/traces`, {
    method: 'POST', headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify({ resourceSpans: [{ resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] }, scopeSpans: [{ spans }] }] }),
  })
  assert.equal(answer.status, 200)
}

/** ask is an answer of the API, which must be a success. */
export async function ask(address, path, body, token) {
  const answer = await fetch(address + path, {
    method: body ? 'POST' : 'GET', headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) }, ...(body && { body: JSON.stringify(body) }),
  })
  const said = await answer.json()
  assert.equal(answer.status, 200, JSON.stringify(said))
  return said
}

/** narrow requires that a telephone need not scroll sideways. */
export async function narrow(page, what = 'it') {
  await page.setViewportSize({ width: 390, height: 844 })
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.ok(over <= 0, `${what} is ${over} pixels too wide for a telephone`)
}
