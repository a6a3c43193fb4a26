// A handful of spans and records to look at, sent as any producer sends them.
import { Failure, post } from './api/client'
import type { PublishRecordsResponse } from './api/types'

const hex = (bytes: number): string => [...crypto.getRandomValues(new Uint8Array(bytes))].map((b) => b.toString(16).padStart(2, '0')).join('')

type Value = string | number | boolean
const attributes = (of: Record<string, Value>) => Object.entries(of).map(([key, v]) => ({
  key, value: typeof v === 'string' ? { stringValue: v } : typeof v === 'boolean' ? { boolValue: v } : Number.isInteger(v) ? { intValue: String(v) } : { doubleValue: v },
}))

interface Step { service: string; name: string; kind: number; from: number; took: number; of?: Record<string, Value>; error?: string; below?: Step[] }

const plans = ['free', 'pro', 'team']

/** order is a visit to a shop: it pays, and its order goes through a broker to a model. */
function order(i: number): Step {
  const slow = i === 2 ? 240 : 0
  const failed = i === 3
  return {
    service: 'shop', name: 'POST /checkout', kind: 2, from: 0, took: 640 + slow, of: { 'http.request.method': 'POST', 'url.path': '/checkout', plan: plans[i % 3] as string, 'cart.items': 1 + i },
    below: [
      { service: 'prices', name: 'GET /prices/{sku}', kind: 2, from: 12, took: 48, of: { sku: `W-${100 + i}`, 'cache.hit': i % 2 === 0 } },
      { service: 'payments', name: 'POST /authorise', kind: 2, from: 70, took: 280 + slow, of: { acquirer: slow ? 'backup' : 'first', amount: 19.9 + i }, ...(failed ? { error: 'the acquirer refused the card' } : {}) },
      {
        service: 'shop', name: 'send orders', kind: 4, from: 380 + slow, took: 8, of: { 'messaging.system': 'nats', 'messaging.destination.name': 'orders' },
        below: [{
          service: 'scorer', name: 'process orders', kind: 5, from: 520 + slow, took: 96, of: { 'messaging.system': 'nats', 'messaging.destination.name': 'orders' },
          below: [{
            service: 'scorer', name: 'score sample/churn', kind: 1, from: 540 + slow, took: 60,
            of: { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'sample-model', 'gen_ai.usage.input_tokens': 42, 'gen_ai.usage.output_tokens': 7, 'input.value': `Will customer ${1000 + i} stay?`, 'output.value': failed ? 'Unlikely.' : 'Yes, likely.' },
          }],
        }],
      },
    ],
  }
}

/** sendSample sends it, and gives the trace that one may look at first. */
export async function sendSample(withRecords: boolean): Promise<string> {
  const begin = BigInt(Date.now() - 6000) * 1_000_000n
  const spans = new Map<string, object[]>()
  const scored: { trace: string; span: string; at: Date }[] = []
  let first = ''
  for (let i = 0; i < 4; i++) {
    const trace = hex(16)
    first ||= trace
    const put = (step: Step, parent: string): void => {
      const span = hex(8)
      const start = begin + BigInt(i * 1000 + step.from) * 1_000_000n
      const list = spans.get(step.service) ?? []
      list.push({
        traceId: trace, spanId: span, parentSpanId: parent, name: step.name, kind: step.kind, startTimeUnixNano: String(start), endTimeUnixNano: String(start + BigInt(step.took) * 1_000_000n), attributes: attributes(step.of ?? {}),
        ...(step.error ? { status: { code: 2, message: step.error }, events: [{ timeUnixNano: String(start + BigInt(step.took - 4) * 1_000_000n), name: 'exception', attributes: attributes({ 'exception.type': 'CardRefused', 'exception.message': step.error, 'exception.stacktrace': `CardRefused: ${step.error}\n    at authorise (payments.ts:42)\n    at handle (server.ts:17)` }) }] } : {}),
      })
      spans.set(step.service, list)
      if (step.name.startsWith('score')) scored.push({ trace, span, at: new Date(Number(start / 1_000_000n)) })
      for (const below of step.below ?? []) put(below, span)
    }
    put(order(i), '')
  }
  await post('/v1/traces', { resourceSpans: [...spans].map(([service, list]) => ({ resource: { attributes: attributes({ 'service.name': service, 'deployment.environment.name': 'sample' }) }, scopeSpans: [{ scope: { name: 'sample' }, spans: list }] })) })
  if (withRecords) await records(scored)
  return first
}

async function records(scored: { trace: string; span: string; at: Date }[]): Promise<void> {
  const { profile } = await post<{ profile: { uid: string } }>('/api/v1/profiles', {
    profile: {
      space: 'sample', name: 'churn', reference_rows: '1000',
      features: [
        { name: 'tenure_months', kind: 'FEATURE_KIND_NUMERIC', type: 'int', edges: [6, 12, 24], counts: ['250', '250', '250', '250'] },
        { name: 'monthly_charges', kind: 'FEATURE_KIND_NUMERIC', type: 'float', edges: [20, 40, 80], counts: ['250', '250', '250', '250'] },
        { name: 'plan', kind: 'FEATURE_KIND_CATEGORY', type: 'string', categories: plans, counts: ['400', '400', '200'] },
      ],
    },
  })
  const answer = await post<PublishRecordsResponse>('/api/v1/records', {
    records: scored.map(({ trace, span, at }, i) => ({
      id: hex(8), event_time: at.toISOString(), profile: profile.uid, traceparent: `00-${trace}-${span}-01`,
      features: { values: [{ name: 'tenure_months', int: String(3 + 7 * i) }, { name: 'monthly_charges', float: 19.5 + 11 * i }, { name: 'plan', string: plans[i % 3] }] },
    })),
  })
  const [refused] = answer.rejections
  if (refused) throw new Failure(400, `A sample record was refused: ${refused.message}`, '', refused.reason)
}
