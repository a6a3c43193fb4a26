// What is shown, as files: a table as CSV, a chart as PNG. Any screen may use it.
import { useRef, useState } from 'preact/hooks'

export type Field = string | number | boolean | null | undefined

const written = (value: Field): string => {
  if (value === null || value === undefined) return ''
  // What a spreadsheet would take for a formula is a text: the strings are those of strangers.
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** csv writes rows, the first of which are the names of the columns, as RFC 4180 says. */
export const csv = (rows: readonly (readonly Field[])[]): string => rows.map((row) => row.map(written).join(',') + '\r\n').join('')

/** download gives the browser a file to keep. */
export function download(name: string, type: string, data: BlobPart): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }))
  link.download = name.replace(/[^\w.-]+/g, '_').slice(0, 120)
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

const hatch = (ctx: CanvasRenderingContext2D, colour: string): CanvasPattern | string => {
  const tile = new OffscreenCanvas(6, 6)
  const on = tile.getContext('2d')
  if (!on) return colour
  on.strokeStyle = colour
  on.stroke(new Path2D('M-1 1L1-1M0 6L6 0M5 7L7 5'))
  return ctx.createPattern(tile, 'repeat') ?? colour
}

/** paint draws an element as its styles say. The page's policy lets no picture be made of
 * text, so that an SVG cannot be loaded as one. */
function paint(ctx: CanvasRenderingContext2D, node: SVGGraphicsElement, scale: number): void {
  const style = getComputedStyle(node)
  const to = node.getCTM()
  if (style.display === 'none' || style.visibility === 'hidden' || !to) return
  const n = (name: string) => Number(node.getAttribute(name) ?? 0)
  ctx.setTransform(scale * to.a, scale * to.b, scale * to.c, scale * to.d, scale * to.e, scale * to.f)
  ctx.globalAlpha = Number(style.opacity)
  ctx.lineWidth = Number.parseFloat(style.strokeWidth) || 1
  ctx.setLineDash(style.strokeDasharray === 'none' ? [] : style.strokeDasharray.split(/[ ,]+/).map(Number.parseFloat))
  const fill = style.fill.startsWith('url(') ? hatch(ctx, style.color) : style.fill
  const shape = new Path2D(node.tagName === 'path' ? (node.getAttribute('d') ?? '') : '')
  switch (node.tagName) {
    case 'text':
      ctx.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`
      ctx.textAlign = ({ middle: 'center', end: 'end' } as Record<string, CanvasTextAlign>)[style.textAnchor] ?? 'start'
      ctx.fillStyle = fill
      ctx.fillText(node.textContent ?? '', n('x'), n('y'))
      return
    case 'rect': shape.rect(n('x'), n('y'), n('width'), n('height')); break
    case 'circle': shape.arc(n('cx'), n('cy'), n('r'), 0, 2 * Math.PI); break
    case 'line': shape.moveTo(n('x1'), n('y1')); shape.lineTo(n('x2'), n('y2')); break
  }
  if (style.fill !== 'none' && node.tagName !== 'line') {
    ctx.fillStyle = fill
    ctx.globalAlpha = Number(style.opacity) * Number(style.fillOpacity)
    ctx.fill(shape)
  }
  if (style.stroke !== 'none') {
    ctx.strokeStyle = style.stroke
    ctx.globalAlpha = Number(style.opacity)
    ctx.stroke(shape)
  }
}

/** png is a picture of an SVG that is on the page, as it looks there, twice as fine. */
export function png(svg: SVGSVGElement, scale = 2): Promise<Blob> {
  const { width, height } = svg.getBoundingClientRect()
  const canvas = document.createElement('canvas')
  canvas.width = Math.ceil(width * scale)
  canvas.height = Math.ceil(height * scale)
  const ctx = canvas.getContext('2d')
  if (!ctx) return Promise.reject(new Error('This browser draws no pictures.'))
  ctx.fillStyle = getComputedStyle(svg).getPropertyValue('--surface') || '#fff'
  ctx.fillRect(0, 0, canvas.width, canvas.height)
  for (const node of svg.querySelectorAll<SVGGraphicsElement>('path, rect, circle, line, text')) {
    if (!node.closest('defs')) paint(ctx, node, scale)
  }
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error('The picture is too large.'))), 'image/png'))
}

/** Export offers rows as CSV, and the first chart of a part of the page as PNG: by
 * default of the nearest figure or card. */
export function Export({ name, rows, of = '.figure, .card' }: { name: string; rows: () => readonly (readonly Field[])[]; of?: string | null }) {
  const here = useRef<HTMLSpanElement>(null)
  const [trouble, tell] = useState('')
  const picture = () => {
    const svg = here.current?.closest(of ?? '')?.querySelector<SVGSVGElement>('svg:not(.icon)')
    if (svg) png(svg).then((blob) => download(`${name}.png`, 'image/png', blob), (err: Error) => tell(err.message))
  }
  return (
    <span class="export" ref={here}>
      <button class="link small" type="button" onClick={() => download(`${name}.csv`, 'text/csv;charset=utf-8', csv(rows()))} aria-label={`${name} as CSV`}>CSV</button>
      {of && <button class="link small" type="button" onClick={picture} aria-label={`${name} as PNG`}>PNG</button>}
      {trouble && <span class="bad" role="alert">{trouble}</span>}
    </span>
  )
}
