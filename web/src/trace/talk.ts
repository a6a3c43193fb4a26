// What went into a model and what came out, as the conventions of OpenTelemetry for
// generative AI, OpenInference and their forerunners write it down. Pure.
import { text, type KeyValue, type OTLPSpan } from './model'

/** Said is a part of a talk: who said it, and what. */
export interface Said { who: string; text: string }

export interface Talk {
  facts: [string, string][] // model, tokens
  input: Said[]
  output: Said[]
}

export interface Fault { type: string; message: string; trace: string }

const inputs = ['gen_ai.system_instructions', 'gen_ai.input.messages', 'gen_ai.prompt', 'input.value', 'driftmesh.input', 'gen_ai.tool.call.arguments', 'traceloop.entity.input']
const outputs = ['gen_ai.output.messages', 'gen_ai.completion', 'output.value', 'driftmesh.output', 'gen_ai.tool.call.result', 'traceloop.entity.output']
const facts: [string, string][] = [
  ['gen_ai.operation.name', 'operation'], ['gen_ai.provider.name', 'provider'], ['gen_ai.system', 'provider'], ['gen_ai.request.model', 'model'], ['gen_ai.response.model', 'answered by'],
  ['llm.model_name', 'model'], ['gen_ai.tool.name', 'tool'], ['gen_ai.request.temperature', 'temperature'], ['gen_ai.usage.input_tokens', 'tokens in'], ['gen_ai.usage.output_tokens', 'tokens out'],
  ['llm.token_count.prompt', 'tokens in'], ['llm.token_count.completion', 'tokens out'], ['gen_ai.response.finish_reasons', 'ended by'],
]

// gen_ai.prompt.0.content, llm.input_messages.0.message.content: an attribute for each part.
const numbered = /^(?:gen_ai\.(prompt|completion)|llm\.(input_messages|output_messages))\.(\d+)\.(?:message\.)?(role|content)$/

/** talk is what a span holds of a talk with a model; null when it is no such span. */
export function talk(span: OTLPSpan): Talk | null {
  const all: KeyValue[] = [...(span.attributes ?? [])]
  const events: Said[][] = [[], []]
  for (const e of span.events ?? []) {
    if (e.name === 'gen_ai.client.inference.operation.details') all.push(...(e.attributes ?? []))
    const role = e.name?.match(/^gen_ai\.(system|user|assistant|tool)\.message$/)?.[1]
    const content = (e.attributes ?? []).find((a) => ['content', 'gen_ai.event.content', 'gen_ai.prompt', 'gen_ai.completion', 'message'].includes(a.key))
    if (role && content) events[0]?.push({ who: role, text: text(content.value) })
    if ((e.name === 'gen_ai.choice' || e.name === 'gen_ai.content.completion') && content) events[1]?.push({ who: 'assistant', text: text(content.value) })
    if (e.name === 'gen_ai.content.prompt' && content) events[0]?.push({ who: 'user', text: text(content.value) })
  }
  const value = new Map(all.map((a) => [a.key, text(a.value)]))
  const parts: Record<'in' | 'out', Map<number, Said>> = { in: new Map(), out: new Map() }
  for (const [key, said] of value) {
    const m = key.match(numbered)
    if (!m) continue
    const side = parts[m[1] === 'prompt' || m[2] === 'input_messages' ? 'in' : 'out']
    const at = Number(m[3])
    const of = side.get(at) ?? { who: '', text: '' }
    if (m[4] === 'role') of.who = said
    else of.text = said
    side.set(at, of)
  }
  const inOrder = (m: Map<number, Said>) => [...m].sort(([a], [b]) => a - b).map(([, s]) => s)
  const input = [...inputs.flatMap((key) => saidIn(value.get(key), key.includes('system') ? 'system' : '')), ...inOrder(parts.in), ...(events[0] ?? [])]
  const output = [...outputs.flatMap((key) => saidIn(value.get(key), '')), ...inOrder(parts.out), ...(events[1] ?? [])]
  if (input.length === 0 && output.length === 0) return null
  const known = new Map<string, string>()
  for (const [key, word] of facts) {
    const v = value.get(key)
    if (v && !known.has(word)) known.set(word, v)
  }
  return { facts: [...known], input, output }
}

/** saidIn reads messages of JSON, where that is what a value is. */
function saidIn(value: string | undefined, who: string): Said[] {
  if (!value) return []
  let read: unknown
  try {
    read = JSON.parse(value)
  } catch {
    return [{ who, text: value }]
  }
  const list = Array.isArray(read) ? read : isObject(read) && Array.isArray(read.messages) ? read.messages : null
  if (list?.length && list.every((m) => isObject(m) && ('role' in m || 'content' in m || 'parts' in m || 'type' in m))) {
    return list.map((m) => ({ who: String((m as Fields).role ?? who), text: contentOf(m as Fields) }))
  }
  return [{ who, text: typeof read === 'string' ? read : JSON.stringify(read, null, 2) }]
}

type Fields = { [key: string]: unknown }
const isObject = (v: unknown): v is Fields => typeof v === 'object' && v !== null && !Array.isArray(v)

function contentOf(m: Fields): string {
  const parts = m.parts ?? m.content ?? m
  if (typeof parts === 'string') return parts
  return (Array.isArray(parts) ? parts : [parts]).map((p) => {
    if (!isObject(p)) return String(p)
    const said = p.content ?? p.text
    return typeof said === 'string' ? said : JSON.stringify(p, null, 2)
  }).join('\n')
}

/** faults are the exceptions of a span, with their stacks. */
export function faults(span: OTLPSpan): Fault[] {
  return (span.events ?? []).filter((e) => e.name === 'exception').map((e) => {
    const of = (key: string) => text(e.attributes?.find((a) => a.key === key)?.value)
    return { type: of('exception.type'), message: of('exception.message'), trace: of('exception.stacktrace') }
  })
}
