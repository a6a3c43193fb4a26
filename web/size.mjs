// Fails when the user interface has become larger than people should wait for: what the
// first page loads, and all of it, packed with gzip.
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const limits = { first: 60_000, all: 200_000 }
const dist = new URL('dist/', import.meta.url)
const packed = (name) => gzipSync(readFileSync(new URL(name, dist)), { level: 9 }).length

const page = readFileSync(new URL('index.html', dist), 'utf8')
const first = ['index.html', ...[...page.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((m) => m[1])]
// What those import at once is loaded with them.
for (const name of first) {
  if (!name.endsWith('.js')) continue
  for (const [, other] of readFileSync(new URL(name, dist), 'utf8').matchAll(/(?:from|import)"\.\/([^"]+\.js)"/g)) {
    if (!first.includes(`assets/${other}`)) first.push(`assets/${other}`)
  }
}
const sum = (names) => names.reduce((n, name) => n + packed(name), 0)
const sizes = { first: sum(first), all: sum(['index.html', ...readdirSync(new URL('assets/', dist)).map((n) => `assets/${n}`)]) }
for (const [what, size] of Object.entries(sizes)) {
  console.log(`${what}: ${size} bytes packed, at most ${limits[what]}`)
  if (size > limits[what]) process.exitCode = 1
}
