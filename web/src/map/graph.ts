// A service graph as it is drawn: names for places, rates, and words for both.
import type { GraphEdge, GraphNode, GraphPlace, GetServiceGraphResponse } from '../api/types'
import { count, millis, number, percent, took } from '../words'

/** keyOf names a place in addresses: s or t for service or topic, m for the mesh's. */
export const keyOf = (p: GraphPlace | null): string => `${isTopic(p) ? 't' : 's'}${p?.mesh ? 'm' : ''}:${p?.name ?? ''}`
export const isTopic = (p: GraphPlace | null): boolean => p?.kind === 'NODE_KIND_TOPIC'
export const edgeKey = (e: GraphEdge): string => `${keyOf(e.from)}>${keyOf(e.to)}`

/** Measured is a graph and the seconds that it is of. */
export interface Measured { graph: GetServiceGraphResponse; seconds: number }

/** perSecond is a rate; of one trace in so many, the whole is that many times as much. */
export const perSecond = (m: Measured, calls: string | undefined): number => (Number(calls ?? 0) * Number(m.graph.one_in)) / m.seconds
export function rate(m: Measured, calls: string | undefined): string {
  const r = perSecond(m, calls)
  return r > 0 && r < 0.1 ? `${number(r * 60)} /min` : `${number(r >= 10 ? Math.round(r) : Math.round(r * 100) / 100)} /s`
}
export const failing = (f: GraphEdge['figures']): number => (Number(f?.calls ?? 0) === 0 ? 0 : Number(f?.errors) / Number(f?.calls))
export const errorsOf = (f: GraphEdge['figures']): string => (Number(f?.errors ?? 0) === 0 ? '0 %' : percent(failing(f), 2))
export const ms = (d: string | null | undefined): string => (d ? took(millis(d)) : '–')

/** bad is from where on errors are shown in red. */
export const bad = 0.01

export type Look = 'rate' | 'errors' | 'latency' | 'dwell'

/** label is what stands at an edge. */
export function label(m: Measured, e: GraphEdge, look: Look): string {
  const f = e.figures
  if (look === 'dwell' || (look === 'rate' && isTopic(e.from))) return isTopic(e.from) ? (e.dwell?.p50 ? `dwell ${ms(e.dwell.p50)}` : '') : ''
  if (Number(f?.calls ?? 0) === 0) return ''
  if (look === 'latency') return `p95 ${ms(f?.p95)}`
  if (look === 'errors') return errorsOf(f)
  return failing(f) > bad ? `${rate(m, f?.calls)} · ${errorsOf(f)}` : rate(m, f?.calls)
}

/** told is an edge in words, for whoever cannot see it. */
export function told(m: Measured, e: GraphEdge): string {
  const verb = isTopic(e.to) ? 'sends to' : isTopic(e.from) ? 'is processed by' : 'calls'
  const waits = e.dwell?.p50 ? `, dwell p50 ${ms(e.dwell.p50)}, p95 ${ms(e.dwell.p95)}` : ''
  const calls = Number(e.figures?.calls ?? 0) > 0 ? `${rate(m, e.figures?.calls)}, ${errorsOf(e.figures)} errors, p95 ${ms(e.figures?.p95)}` : `${count(e.dwell?.count ?? 0)} messages`
  return `${e.from?.name ?? ''} ${verb} ${e.to?.name ?? ''}: ${calls}${waits}`
}

/** most leaves those called most, of which a picture has room for no more. */
export function most(graph: GetServiceGraphResponse, room: number): { nodes: GraphNode[]; edges: GraphEdge[] } {
  if (graph.nodes.length <= room) return graph
  const weight = (n: GraphNode) => Math.max(Number(n.figures?.calls ?? 0), Number(n.dwell?.count ?? 0))
  const nodes = graph.nodes.toSorted((a, b) => weight(b) - weight(a)).slice(0, room)
  const kept = new Set(nodes.map((n) => keyOf(n.place)))
  return { nodes, edges: graph.edges.filter((e) => kept.has(keyOf(e.from)) && kept.has(keyOf(e.to))) }
}
