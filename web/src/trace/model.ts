// A trace as it is drawn: pure, from the OTLP/JSON that the gateway gives.
import { colours } from './colours'

export interface KeyValue { key: string; value: AnyValue }
export interface AnyValue {
  stringValue?: string
  intValue?: string | number
  doubleValue?: number | string
  boolValue?: boolean
  bytesValue?: string
  arrayValue?: { values?: AnyValue[] }
  kvlistValue?: { values?: KeyValue[] }
}
export interface OTLPSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name?: string
  kind?: number
  startTimeUnixNano?: string
  endTimeUnixNano?: string
  attributes?: KeyValue[]
  events?: { timeUnixNano?: string; name?: string; attributes?: KeyValue[] }[]
  links?: { traceId?: string; spanId?: string; attributes?: KeyValue[] }[]
  status?: { code?: number; message?: string }
}
export interface OTLPTrace {
  resourceSpans?: { resource?: { attributes?: KeyValue[] }; scopeSpans?: { scope?: { name?: string; version?: string }; spans?: OTLPSpan[] }[] }[]
}

/** Row is a span, or the time that a message waited in a broker, in the order of
 * reading. Times are milliseconds from the start of the trace. */
export interface Row {
  index: number // in Trace.rows
  kind: 'span' | 'dwell'
  name: string
  service: string
  color: string
  depth: number
  start: number
  duration: number
  self: number // of the duration, what no child covers
  failed: boolean
  critical: boolean
  parent: Row | null
  children: number // rows below, at any depth
  span: OTLPSpan | null
  about: OTLPSpan | null // of a wait that has no span: the one that ended it
  resource: KeyValue[]
  scope: string
}

export interface Trace {
  rows: Row[]
  start: number // of the first, milliseconds since 1970
  duration: number
  services: string[]
  errors: number
  spans: number
  path: { name: string; color: string; share: number }[] // the critical path by service, waits apart
}

/** text is an attribute's value as one reads it. */
export function text(v: AnyValue | undefined): string {
  if (!v) return ''
  if (v.stringValue !== undefined) return v.stringValue
  if (v.intValue !== undefined) return String(v.intValue)
  if (v.doubleValue !== undefined) return String(v.doubleValue)
  if (v.boolValue !== undefined) return String(v.boolValue)
  if (v.bytesValue !== undefined) return v.bytesValue
  if (v.arrayValue) return `[${(v.arrayValue.values ?? []).map(text).join(', ')}]`
  if (v.kvlistValue) return `{${(v.kvlistValue.values ?? []).map((e) => `${e.key}: ${text(e.value)}`).join(', ')}}`
  return ''
}

/** typeOf names what a value is. */
export function typeOf(v: AnyValue | undefined): string {
  if (!v) return 'empty'
  if (v.stringValue !== undefined) return 'string'
  if (v.intValue !== undefined) return 'int'
  if (v.doubleValue !== undefined) return 'double'
  if (v.boolValue !== undefined) return 'bool'
  if (v.bytesValue !== undefined) return 'bytes'
  if (v.arrayValue) return 'array'
  if (v.kvlistValue) return 'map'
  return 'empty'
}

// Nanoseconds since 1970 are more than a number of JavaScript holds: what is computed
// with is the distance from a first one.
const millisFrom = (first: bigint, nanos: bigint): number => Number(nanos - first) / 1e6

/** topicOf is the topic that a row is about, '' for none. */
export function topicOf(row: Row): string {
  const of = row.span ?? row.about
  const named = of?.attributes?.find((a) => a.key === 'messaging.destination.name') ?? of?.attributes?.find((a) => a.key === 'messaging.destination')
  return text(named?.value)
}

const producer = 4
const consumer = 5
const failedStatus = 2

interface Node {
  row: Row
  below: Node[]
}

/** keyed gives the attributes without a name one: OTLP/JSON leaves out what is empty. */
const keyed = (of: KeyValue[] | undefined): KeyValue[] => {
  for (const a of of ?? []) a.key ??= ''
  return of ?? []
}

/** read makes a trace of what the gateway gives. */
export function read(data: OTLPTrace): Trace {
  const nodes: Node[] = []
  const byID = new Map<string, Node[]>()
  let first: bigint | null = null
  const parts = (data.resourceSpans ?? []).flatMap((r) => {
    const resource = keyed(r.resource?.attributes)
    return (r.scopeSpans ?? []).flatMap((s) => (s.spans ?? []).map((span) => ({ span, resource, scope: [s.scope?.name, s.scope?.version].filter(Boolean).join(' ') })))
  })
  for (const { span } of parts) {
    for (const of of [span, ...(span.events ?? []), ...(span.links ?? [])]) keyed(of.attributes)
    const at = BigInt(span.startTimeUnixNano ?? 0)
    if (at > 0n && (first === null || at < first)) first = at
  }
  const origin = first ?? 0n
  for (const { span, resource, scope } of parts) {
    const start = millisFrom(origin, BigInt(span.startTimeUnixNano ?? 0))
    const end = millisFrom(origin, BigInt(span.endTimeUnixNano ?? 0))
    const node: Node = {
      row: {
        index: 0, kind: isDwell(span, scope) ? 'dwell' : 'span', name: span.name ?? '', service: text(resource.find((a) => a.key === 'service.name')?.value) || 'missing-service-name', color: '',
        depth: 0, start: Math.max(0, start), duration: Math.max(0, end - Math.max(0, start)), self: 0, failed: span.status?.code === failedStatus, critical: false,
        parent: null, children: 0, span, about: null, resource, scope,
      },
      below: [],
    }
    nodes.push(node)
    const same = byID.get(span.spanId)
    if (same) same.push(node)
    else byID.set(span.spanId, [node])
  }
  const roots = tree(nodes, byID)
  const rows = lines(roots)
  const services = [...new Set(rows.filter((r) => r.kind === 'span').map((r) => r.service))]
  const color = colours(services)
  for (const row of rows) row.color = color(row.service)
  let end = 0
  for (const row of rows) end = Math.max(end, row.start + row.duration)
  return {
    rows, start: Number(origin / 1_000_000n), duration: end, services, spans: nodes.length,
    errors: rows.filter((r) => r.failed).length, path: critical(roots),
  }
}

/** tree hangs every span below its parent; what has none, or would hang below itself,
 * is a root. */
function tree(nodes: Node[], byID: Map<string, Node[]>): Node[] {
  const roots: Node[] = []
  const parents = new Map<Node, Node>()
  for (const node of nodes) {
    // Client and server may share an id: the child of both hangs below the later one.
    const above = byID.get(node.row.span?.parentSpanId ?? '')?.findLast((p) => p !== node)
    if (above) parents.set(node, above)
  }
  const sound = new Set<Node>()
  for (const node of nodes) {
    const way = new Set<Node>()
    let up: Node | undefined = node
    while (up && !sound.has(up) && !way.has(up)) {
      way.add(up)
      up = parents.get(up)
    }
    if (up && way.has(up)) parents.delete(up) // a circle: cut it here
    for (const n of way) sound.add(n)
  }
  for (const node of nodes) {
    const above = parents.get(node)
    if (above) {
      node.row.parent = above.row
      above.below.push(node)
    } else roots.push(node)
  }
  const byStart = (a: Node, b: Node) => a.row.start - b.row.start || b.row.duration - a.row.duration
  roots.sort(byStart)
  for (const node of nodes) {
    node.below.sort(byStart)
    node.row.self = self(node)
    waits(node)
  }
  return roots
}

/** self is the time of a span that no child covers. */
function self(node: Node): number {
  let covered = 0
  let upTo = node.row.start
  const end = node.row.start + node.row.duration
  for (const { row } of node.below) {
    const from = Math.max(row.start, upTo)
    const to = Math.min(row.start + row.duration, end)
    if (to > from) {
      covered += to - from
      upTo = to
    }
  }
  return node.row.duration - covered
}

/** isDwell tells the spans by which a mesh says itself how long a message lay in a topic
 * of its own. */
const isDwell = (span: OTLPSpan, scope: string): boolean => !!span.name?.startsWith('dwell ') && scope.startsWith('github.com/driftmesh/')

/** waits puts between the sending of a message and its processing the time that it
 * lay in a broker. */
function waits(node: Node): void {
  const sent = node.row
  if (sent.span?.kind !== producer || node.below.some((child) => child.row.kind === 'dwell')) return
  node.below = node.below.flatMap((child) => {
    const end = sent.start + sent.duration
    if (child.row.span?.kind !== consumer || child.row.start <= end) return [child]
    const where = child.row.span.attributes?.find((a) => a.key === 'messaging.destination.name')
    const wait: Node = {
      row: {
        ...child.row, kind: 'dwell', name: `waits in ${text(where?.value) || 'a broker'}`, start: end, duration: child.row.start - end, self: 0,
        failed: false, parent: sent, span: null, about: child.row.span, resource: [], scope: '',
      },
      below: [child],
    }
    child.row.parent = wait.row
    return [wait]
  })
}

/** lines lists all rows in the order of reading; deep traces need no stack. */
function lines(roots: Node[]): Row[] {
  const rows: Row[] = []
  const todo = roots.toReversed().map((node) => ({ node, depth: 0 }))
  for (let next = todo.pop(); next; next = todo.pop()) {
    const { node, depth } = next
    node.row.index = rows.length
    node.row.depth = depth
    rows.push(node.row)
    for (let i = node.below.length - 1; i >= 0; i--) todo.push({ node: node.below[i] as Node, depth: depth + 1 })
  }
  for (let i = rows.length - 1; i >= 0; i--) {
    const row = rows[i] as Row
    if (row.parent) row.parent.children += row.children + 1
  }
  return rows
}

/** critical marks the critical path and gives its shares: seen from the end, always
 * the child that ended last before what was found so far began; what is between is the
 * span's own. */
function critical(roots: Node[]): Trace['path'] {
  const last = roots.reduce<Node | null>((a, b) => (!a || ends(b) > ends(a) ? b : a), null)
  if (!last) return []
  const shares = new Map<string, { name: string; color: string; share: number }>()
  let total = 0
  const add = (row: Row, ms: number) => {
    if (ms <= 0) return
    const waiting = row.kind === 'dwell'
    const name = waiting ? row.name.replace(/^(waits in|dwell)/, 'waiting in') : row.service
    const of = shares.get(name) ?? { name, color: waiting ? 'wait' : row.color, share: 0 }
    of.share += ms
    total += ms
    shares.set(name, of)
  }
  const todo: { node: Node; upTo: number }[] = [{ node: last, upTo: ends(last) }]
  for (let next = todo.pop(); next; next = todo.pop()) {
    const { node, upTo } = next
    node.row.critical = true
    let at = upTo
    for (const child of node.below.toSorted((a, b) => ends(b) - ends(a))) {
      if (child.row.start >= at) continue
      const end = Math.min(ends(child), at)
      if (node.row.kind === 'span') add(node.row, Math.min(at, ends(node)) - end)
      todo.push({ node: child, upTo: end })
      at = child.row.start
      if (at <= node.row.start) break
    }
    add(node.row, Math.min(at, ends(node)) - node.row.start)
  }
  for (const of of shares.values()) of.share /= total || 1
  return [...shares.values()].sort((a, b) => b.share - a.share)
}

const ends = (node: Node): number => node.row.start + node.row.duration
