// The chain of the account of who did what, followed in the browser: every hash is
// computed anew, and every signature checked. What internal/audit does, apart from it.
import type { Entry, ExportChainResponse } from './api/types'

export interface Verdict {
  entries: number
  checkpoints: number
  signed: number // the last entry that a checkpoint vouches for
  signers: string[] // fingerprints of keys
  unchecked: boolean // this browser knows no Ed25519: hashes alone were checked
  wrong: string // what is wrong; '' for nothing
}

const utf8 = new TextEncoder()

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))

const hex = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')

/** micros is a moment in microseconds since 1970; there are more than a number of
 * JavaScript tells apart. */
function micros(time: string | null): bigint {
  const m = /^(.*?)(?:\.(\d+))?Z$/.exec(time ?? '')
  return BigInt(Date.parse(`${m?.[1]}Z`)) * 1000n + BigInt((m?.[2] ?? '').padEnd(6, '0').slice(0, 6) || 0)
}

/** Writer gathers bytes, numbers with the highest first. */
class Writer {
  private parts: Uint8Array[] = []
  raw(bytes: Uint8Array): this {
    this.parts.push(bytes)
    return this
  }
  u64(n: bigint): this {
    const b = new Uint8Array(8)
    new DataView(b.buffer).setBigUint64(0, BigInt.asUintN(64, n))
    return this.raw(b)
  }
  text(s: string): this {
    const bytes = utf8.encode(s)
    const b = new Uint8Array(4)
    new DataView(b.buffer).setUint32(0, bytes.length)
    return this.raw(b).raw(bytes)
  }
  bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.parts.reduce((n, p) => n + p.length, 0))
    let at = 0
    for (const p of this.parts) {
      all.set(p, at)
      at += p.length
    }
    return all
  }
}

const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))

/** sum is the hash of an entry that stands after one whose hash is before. */
function sum(e: Entry, before: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const w = new Writer().raw(utf8.encode('driftmesh audit entry v1')).raw(before).u64(BigInt(e.sequence)).u64(micros(e.time)).u64(BigInt(e.count))
  for (const s of [e.id, e.tenant, e.actor, e.kind, e.home, e.source, e.action, e.object, e.outcome, e.reason, e.trace]) w.text(s)
  return sha256(w.bytes())
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((v, i) => v === b[i])

async function good(key: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>, of: Uint8Array<ArrayBuffer>): Promise<boolean | null> {
  let imported: CryptoKey
  try {
    imported = await crypto.subtle.importKey('raw', key, 'Ed25519', false, ['verify'])
  } catch (err) {
    if ((err as Error).name === 'NotSupportedError') return null
    return false
  }
  return crypto.subtle.verify('Ed25519', imported, signature, of)
}

/** Follower takes the pieces of a chain, from its first entry. */
export class Follower {
  verdict: Verdict = { entries: 0, checkpoints: 0, signed: 0, signers: [], unchecked: false, wrong: '' }
  private hash: Uint8Array = new Uint8Array(32)

  async take(piece: ExportChainResponse): Promise<void> {
    const v = this.verdict
    for (const e of piece.entries ?? []) {
      if (v.wrong) return
      const seq = Number(e.sequence)
      if (seq !== v.entries + 1) v.wrong = `Entry ${seq} stands where ${v.entries + 1} should.`
      else if (!same(await sum(e, this.hash), bytesOf(e.hash))) v.wrong = `Entry ${seq} is not what was written, or what stands before it is not.`
      else {
        v.entries = seq
        this.hash = bytesOf(e.hash)
      }
    }
    const c = piece.checkpoint
    if (!c || v.wrong) return
    const key = bytesOf(c.public_key)
    const signed = new Writer().raw(utf8.encode('driftmesh audit checkpoint v1')).raw(bytesOf(c.hash)).u64(BigInt(c.sequence)).u64(micros(c.time)).bytes()
    const holds = await good(key, bytesOf(c.signature), signed)
    if (holds === false) v.wrong = `The signature of the checkpoint at entry ${c.sequence} is wrong.`
    else if (Number(c.sequence) !== v.entries || !same(bytesOf(c.hash), this.hash)) v.wrong = `A checkpoint signs another entry ${c.sequence} than the one that stands there.`
    if (v.wrong) return
    v.unchecked ||= holds === null
    v.checkpoints++
    v.signed = v.entries
    const signer = hex((await sha256(key)).slice(0, 8))
    if (!v.signers.includes(signer)) v.signers.push(signer)
  }
}

/** follow reads an export, a piece a line, to its end. */
export async function follow(answer: Response, tell: (v: Verdict) => void): Promise<Verdict> {
  const chain = new Follower()
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  const line = async (text: string) => {
    if (!text.trim()) return
    const said = JSON.parse(text) as { result?: ExportChainResponse; error?: { message: string } }
    if (said.error) throw new Error(said.error.message)
    if (said.result) await chain.take(said.result)
  }
  for (;;) {
    const next = await reader?.read()
    if (!next || next.done) break
    const lines = (rest + next.value).split('\n')
    rest = lines.pop() ?? ''
    for (const l of lines) await line(l)
    tell({ ...chain.verdict })
    if (chain.verdict.wrong) {
      void reader?.cancel()
      return chain.verdict
    }
  }
  await line(rest)
  return chain.verdict
}
