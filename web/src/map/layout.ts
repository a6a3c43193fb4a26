// Where the nodes of a graph stand: in layers from left to right, each behind those that
// call it. Pure, and the same for the same graph, so that a node stays where it is.

export interface Box { key: string; x: number; y: number }
export interface Way { from: string; to: string; points: [number, number][] }
export interface Layout { boxes: Map<string, Box>; ways: Way[]; width: number; height: number }

export const size = { width: 156, height: 52 }
const gap = { x: 100, y: 30 }
const pad = 14

interface Cell { key: string; layer: number; at: number; up: Cell[]; down: Cell[]; bend: boolean }

/** layout places nodes by edges. Circles are cut where they close. */
export function layout(nodes: string[], edges: [string, string][]): Layout {
  const known = new Set(nodes)
  const own = edges.filter(([a, b]) => a !== b && known.has(a) && known.has(b))
  const forward = withoutCircles(nodes, own)
  const layerOf = layers(nodes, forward)
  const cells = new Map<string, Cell>(nodes.map((key) => [key, { key, layer: layerOf.get(key) ?? 0, at: 0, up: [], down: [], bend: false }]))
  const rows: Cell[][] = []
  const put = (cell: Cell) => {
    const row = (rows[cell.layer] ??= [])
    cell.at = row.length
    row.push(cell)
  }
  for (const cell of cells.values()) put(cell)
  // An edge over several layers bends in each of them, where there is room for it.
  const bends = new Map<string, Cell[]>()
  for (const [a, b] of forward) {
    let last = cells.get(a) as Cell
    const target = cells.get(b) as Cell
    const on: Cell[] = []
    for (let layer = last.layer + 1; layer < target.layer; layer++) {
      const bend: Cell = { key: `${a}\n${b}\n${layer}`, layer, at: 0, up: [last], down: [], bend: true }
      last.down.push(bend)
      put(bend)
      on.push(bend)
      last = bend
    }
    last.down.push(target)
    target.up.push(last)
    bends.set(`${a}\n${b}`, on)
  }
  sort(rows)
  return draw(rows, cells, own, forward, bends)
}

/** withoutCircles leaves out the edges that close one. */
function withoutCircles(nodes: string[], edges: [string, string][]): [string, string][] {
  const out = new Map<string, string[]>()
  for (const [a, b] of edges) out.set(a, [...(out.get(a) ?? []), b])
  const state = new Map<string, 1 | 2>() // being looked at, done
  const kept: [string, string][] = []
  const entered = new Set(edges.map(([, b]) => b))
  const visit = (start: string) => {
    const stack = [{ key: start, next: 0 }]
    state.set(start, 1)
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const to = out.get(top.key)?.[top.next++]
      if (to === undefined) {
        state.set(top.key, 2)
        stack.pop()
      } else if (state.get(to) !== 1) {
        kept.push([top.key, to])
        if (!state.has(to)) {
          state.set(to, 1)
          stack.push({ key: to, next: 0 })
        }
      }
    }
  }
  for (const key of nodes) if (!entered.has(key) && !state.has(key)) visit(key)
  for (const key of nodes) if (!state.has(key)) visit(key)
  return kept
}

/** layers gives each node the length of the longest way to it. */
function layers(nodes: string[], edges: [string, string][]): Map<string, number> {
  const layer = new Map(nodes.map((key) => [key, 0]))
  const waits = new Map(nodes.map((key) => [key, 0]))
  const out = new Map<string, string[]>()
  for (const [a, b] of edges) {
    waits.set(b, (waits.get(b) ?? 0) + 1)
    out.set(a, [...(out.get(a) ?? []), b])
  }
  const ready = nodes.filter((key) => waits.get(key) === 0)
  for (let key = ready.pop(); key !== undefined; key = ready.pop()) {
    for (const to of out.get(key) ?? []) {
      layer.set(to, Math.max(layer.get(to) ?? 0, (layer.get(key) ?? 0) + 1))
      const left = (waits.get(to) ?? 0) - 1
      waits.set(to, left)
      if (left === 0) ready.push(to)
    }
  }
  return layer
}

/** sort brings nodes near those that they are bound to, so that fewer edges cross. */
function sort(rows: Cell[][]): void {
  const near = (cell: Cell, of: Cell[]): number => (of.length === 0 ? cell.at : of.reduce((n, o) => n + o.at, 0) / of.length)
  const order = (row: Cell[], side: 'up' | 'down') => {
    const by = new Map(row.map((cell) => [cell, near(cell, cell[side])]))
    row.sort((a, b) => (by.get(a) ?? 0) - (by.get(b) ?? 0) || (a.key < b.key ? -1 : 1))
    row.forEach((cell, i) => { cell.at = i })
  }
  for (let i = 0; i < 6; i++) {
    for (const row of rows) order(row, 'up')
    for (const row of rows.toReversed()) order(row, 'down')
  }
}

function draw(rows: Cell[][], cells: Map<string, Cell>, edges: [string, string][], forward: [string, string][], bends: Map<string, Cell[]>): Layout {
  const tall = (row: Cell[]) => row.reduce((n, c) => n + (c.bend ? 18 : size.height) + gap.y, -gap.y)
  const height = Math.max(size.height, ...rows.map(tall))
  const y = new Map<Cell, number>()
  for (const row of rows) {
    let top = pad + (height - tall(row)) / 2
    for (const cell of row) {
      const h = cell.bend ? 18 : size.height
      y.set(cell, top + h / 2)
      top += h + gap.y
    }
  }
  const left = (cell: Cell) => pad + cell.layer * (size.width + gap.x)
  const isForward = new Set(forward.map(([a, b]) => `${a}\n${b}`))
  const ways = edges.map(([a, b]): Way => {
    const [from, to] = [cells.get(a) as Cell, cells.get(b) as Cell]
    const [ya, yb] = [y.get(from) ?? 0, y.get(to) ?? 0]
    if (isForward.has(`${a}\n${b}`)) {
      const via = (bends.get(`${a}\n${b}`) ?? []).map((c): [number, number] => [left(c) + size.width / 2, y.get(c) ?? 0])
      return { from: a, to: b, points: [[left(from) + size.width, ya], ...via, [left(to), yb]] }
    }
    // Back, below both.
    return { from: a, to: b, points: [[left(from) + size.width / 2, ya + size.height / 2], [(left(from) + left(to) + size.width) / 2, Math.max(ya, yb) + size.height / 2 + gap.y], [left(to) + size.width / 2, yb + size.height / 2]] }
  })
  return {
    boxes: new Map([...cells].map(([key, cell]) => [key, { key, x: left(cell), y: (y.get(cell) ?? 0) - size.height / 2 }])),
    ways, width: 2 * pad + rows.length * size.width + Math.max(0, rows.length - 1) * gap.x, height: height + 2 * pad + gap.y,
  }
}

/** curve is a smooth line through points, level at its ends when it goes to the right,
 * upright when it goes back. */
export function curve(points: [number, number][]): string {
  const back = (points.at(-1)?.[0] ?? 0) <= (points[0]?.[0] ?? 0)
  return points.map(([x, y], i) => {
    const before = points[i - 1]
    if (!before) return `M${x} ${y}`
    const [px, py] = before
    if (back) return i === 1 ? `Q${px} ${y} ${x} ${y}` : `Q${x} ${py} ${x} ${y}`
    const dx = (x - px) / 2
    return `C${px + dx} ${py} ${x - dx} ${y} ${x} ${y}`
  }).join('')
}

/** middle is where a label stands: halfway along the first stretch. */
export function middle(points: [number, number][]): [number, number] {
  if (points.length === 3 && (points.at(-1)?.[0] ?? 0) <= (points[0]?.[0] ?? 0)) return points[1] as [number, number]
  const [a, b] = [points[0] as [number, number], points[1] as [number, number]]
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]
}
