// Two traces held against each other: pure.
import { text, type KeyValue, type Row, type Trace } from './model'

/** Side is what one trace has at a place: the spans there, and the time in them. */
export interface Side { n: number; total: number; self: number; failed: number; spans: Row[] }

export type Verdict = 'only A' | 'only B' | 'slower' | 'faster' | 'same'

/** Pair is a place in both traces: the spans with the same way of services and
 * operations from the root. */
export interface Pair {
  index: number
  name: string
  service: string
  kind: Row['kind']
  depth: number
  children: number // below, at any depth
  a: Side | null
  b: Side | null
  verdict: Verdict
  difference: number // of the time in them, B less A
  self: number // the same, without what is below them
}

export interface Comparison {
  pairs: Pair[]
  changed: number // the sum of all |self|: what a share is a share of
}

interface Node { pair: Pair; first: number; below: Map<string, Node> }

/** alike is how much longer or shorter is still the same. */
export const alike = 0.05

const side = (): Side => ({ n: 0, total: 0, self: 0, failed: 0, spans: [] })

/** compare aligns two traces. */
export function compare(a: Trace, b: Trace): Comparison {
  const roots = new Map<string, Node>()
  for (const [which, trace] of [['a', a], ['b', b]] as const) {
    const at = new Map<Row, Node>()
    for (const row of trace.rows) { // parents come first
      const level = row.parent ? (at.get(row.parent) as Node).below : roots
      const key = `${row.kind}\n${row.service}\n${row.name}`
      let node = level.get(key)
      if (!node) {
        const depth = row.parent ? (at.get(row.parent) as Node).pair.depth + 1 : 0
        node = { pair: { index: 0, name: row.name, service: row.service, kind: row.kind, depth, children: 0, a: null, b: null, verdict: 'same', difference: 0, self: 0 }, first: row.start, below: new Map() }
        level.set(key, node)
      }
      at.set(row, node)
      const of = (node.pair[which] ??= side())
      of.n++
      of.total += row.duration
      of.self += row.self
      of.failed += row.failed ? 1 : 0
      of.spans.push(row)
    }
  }
  const pairs: Pair[] = []
  let changed = 0
  const ends: { node: Node; from: number }[] = []
  const todo = ordered(roots).map((node) => ({ node, done: false }))
  for (let next = todo.pop(); next; next = todo.pop()) {
    const { node, done } = next
    if (done) {
      const end = ends.pop()
      if (end) node.pair.children = pairs.length - end.from - 1
      continue
    }
    node.pair.index = pairs.length
    judge(node.pair)
    changed += Math.abs(node.pair.self)
    ends.push({ node, from: pairs.length })
    pairs.push(node.pair)
    todo.push({ node, done: true }, ...ordered(node.below).map((below) => ({ node: below, done: false })))
  }
  return { pairs, changed }
}

/** ordered is the last first, for a stack. */
const ordered = (level: Map<string, Node>): Node[] => [...level.values()].sort((a, b) => b.first - a.first)

function judge(p: Pair): void {
  p.difference = (p.b?.total ?? 0) - (p.a?.total ?? 0)
  p.self = (p.b?.self ?? 0) - (p.a?.self ?? 0)
  if (!p.a) p.verdict = 'only B'
  else if (!p.b) p.verdict = 'only A'
  else if (Math.abs(p.difference) <= alike * Math.max(p.a.total, p.b.total)) p.verdict = 'same'
  else p.verdict = p.difference > 0 ? 'slower' : 'faster'
}

/** Unlike is an attribute whose values are not the same on both sides. */
export interface Unlike { pair: Pair; key: string; a: string[]; b: string[] }

const most = 5 // values that are told of one attribute

/** unlike are the attributes of spans and their resources that differ where both have spans;
 * at most so many. */
export function unlike(pairs: Pair[], limit: number): { found: Unlike[]; more: boolean } {
  const found: Unlike[] = []
  for (const pair of pairs) {
    if (!pair.a || !pair.b) continue
    const a = values(pair.a.spans)
    const b = values(pair.b.spans)
    for (const key of [...new Set([...a.keys(), ...b.keys()])].sort()) {
      const va = a.get(key) ?? new Set()
      const vb = b.get(key) ?? new Set()
      if (va.size === vb.size && [...va].every((v) => vb.has(v))) continue
      if (found.length >= limit) return { found, more: true }
      found.push({ pair, key, a: [...va].slice(0, most), b: [...vb].slice(0, most) })
    }
  }
  return { found, more: false }
}

function values(rows: Row[]): Map<string, Set<string>> {
  const all = new Map<string, Set<string>>()
  const add = (key: string, value: string) => {
    const of = all.get(key)
    if (of) of.add(value)
    else all.set(key, new Set([value]))
  }
  for (const row of rows) {
    for (const a of row.span?.attributes ?? []) add(a.key, text(a.value))
    for (const a of row.resource) add(`resource ${a.key}`, text(a.value))
    if (row.failed) add('status', row.span?.status?.message || 'error')
  }
  return all
}

/** Rare is an attribute of a span with a value that few of its siblings have. */
export interface Rare { key: string; value: string; same: number }

/** siblings are the spans of the trace with the same service and name, and how the one stands
 * among them. */
export function siblings(trace: Trace, row: Row): { rows: Row[]; shorter: number; rare: Rare[] } {
  const rows = trace.rows.filter((r) => r.kind === row.kind && r.name === row.name && r.service === row.service)
  const shorter = rows.filter((r) => r.duration < row.duration).length
  const count = new Map<string, number>()
  const of = (a: KeyValue) => `${a.key}\n${text(a.value)}`
  for (const r of rows) for (const a of r.span?.attributes ?? []) count.set(of(a), (count.get(of(a)) ?? 0) + 1)
  const rare = (row.span?.attributes ?? []).map((a) => ({ key: a.key, value: text(a.value), same: count.get(of(a)) ?? 1 })).filter((r) => r.same * 4 <= rows.length)
  return { rows, shorter, rare: rare.sort((a, b) => a.same - b.same) }
}
