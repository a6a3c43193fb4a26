// A trace of very many spans.
import assert from 'node:assert/strict'
import { availableParallelism, loadavg } from 'node:os'
import { describe, it } from 'node:test'
import { ask, browser, longest, open, send, until, world } from './lib.mjs'

describe('a trace of 50,000 spans', () => {
  it('opens within two seconds of its arrival and scrolls without a long task', async (t) => {
    const id = '7b8efff798038103d269b633813fc60c'
    const start = BigInt(Date.now()) * 1_000_000n
    const hex = (n) => (n + 1).toString(16).padStart(16, '0')
    const count = 50_000
    for (let from = 0; from < count; from += 5000) {
      await send(world.otlp, 'wide', Array.from({ length: 5000 }, (_, j) => {
        const i = from + j
        return { traceId: id, spanId: hex(i), parentSpanId: i === 0 ? '' : hex(Math.floor((i - 1) / 8)), name: `step ${i % 40}`, kind: 1, startTimeUnixNano: String(start + BigInt(i) * 1000n), endTimeUnixNano: String(start + BigInt(i) * 1000n + 100_000_000n) }
      }))
    }
    const page = await open(t, world.empty, '/')
    await until(async () => (await ask(world.empty, '/api/v1/traces:search', { query: { trace_ids: [id] } })).traces?.[0]?.spans === count)
    // What another process does on this machine at the moment is not the page's: of some
    // openings the fastest counts, and of tasks the time on the processor.
    const openings = []
    let opening
    do {
      await browser.startTracing(page, { categories: ['toplevel'] })
      await page.goto(`${world.empty}/traces/${id}`)
      await page.getByRole('treegrid').waitFor({ timeout: 30_000 })
      openings.push(await page.evaluate(() => ({
        answered: Math.round(performance.getEntriesByType('resource').find((e) => /api\/v1\/traces\//.test(e.name)).responseEnd),
        drawn: Math.round(performance.now()),
      })))
      opening = longest(await browser.stopTracing(), 5).reduce((sum, ms) => sum + ms, 0)
    } while (openings.at(-1).drawn >= 2000 && openings.length < 6)
    assert.equal(await page.getByRole('treegrid').getAttribute('aria-rowcount'), String(count))
    assert.ok((await page.getByRole('treegrid').getByRole('row').count()) < 120, 'only what is seen is there')
    await browser.startTracing(page, { categories: ['toplevel'] })
    const frames = await page.evaluate(async () => {
      const box = document.querySelector('.waterfall .rows')
      const began = performance.now()
      let n = 0
      for (; performance.now() - began < 2000; n++) {
        box.scrollTop += 400
        await new Promise((next) => requestAnimationFrame(next))
      }
      return n
    })
    const tasks = longest(await browser.stopTracing(), 3)
    t.diagnostic(`opened ${JSON.stringify(openings)}, the page's five longest tasks took ${opening} ms of processor; ${frames} frames in 2 s, the longest tasks of scrolling ${tasks} ms; load ${loadavg()[0].toFixed(1)}`)
    assert.ok(tasks[0] < 50, `scrolling has tasks of ${tasks} ms`)
    assert.ok(opening < 1500, `to open it takes ${opening} ms of processor`)
    if (loadavg()[0] < 2 * availableParallelism()) assert.ok(openings.at(-1).drawn < 2000, `the fastest of ${openings.length} openings took ${openings.at(-1).drawn} ms`)
  })
})
