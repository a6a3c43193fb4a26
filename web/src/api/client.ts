// The gateway's API, as whoever the browser's session is.
import { signal } from '@preact/signals'

/** Failure is an answer that was no success. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = '',
    readonly reason = '',
    readonly request = '',
  ) {
    super(message)
  }
}

let lost = () => {}

/** whenLost is told when there is no session any more. */
export const whenLost = (tell: () => void): void => {
  lost = tell
}

/** gone is whether the gateway did not answer when it was asked last. */
export const gone = signal(false)

type Query = Record<string, string | number | boolean | string[] | undefined>

/** withQuery adds the parameters that have a value to a path. */
export function withQuery(path: string, query: Query = {}): string {
  const q = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    for (const v of Array.isArray(value) ? value : [value]) {
      if (v !== undefined && v !== '' && v !== false) q.append(key, String(v))
    }
  }
  const said = q.toString()
  return said ? `${path}?${said}` : path
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> => ask<T>('GET', withQuery(path, query), undefined, signal)
export const post = <T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> => ask<T>('POST', path, body, signal)
export const remove = <T>(path: string): Promise<T> => ask<T>('DELETE', path)

async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const answer = await send(method, path, body, signal)
  return (answer.status === 204 ? undefined : await whole(answer)) as T
}

/** whole is an answer to its end; one that breaks off is none. */
export async function whole(answer: Response): Promise<unknown> {
  try {
    return await answer.json()
  } catch (err) {
    if ((err as Error).name === 'AbortError') throw err
    throw new Failure(0, 'The answer broke off.')
  }
}

/** away is whether a failure is of the way, and not of the question: asked again, it may
 * be answered. */
export const away = (err: unknown): boolean => err instanceof Failure && [0, 502, 503, 504].includes(err.status)

/** stream gives the parts of a long answer as they come. */
export async function stream<T>(path: string, body: unknown, tell: (part: T) => void, signal?: AbortSignal): Promise<void> {
  const answer = await send('POST', path, body, signal)
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    const lines = (rest + part.value).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) take(line, tell)
  }
  take(rest, tell)
}

function take<T>(line: string, tell: (part: T) => void): void {
  if (line.trim() === '') return
  const said = JSON.parse(line)
  if (said.error) throw new Failure(said.error.http_code ?? 500, said.error.message ?? 'It broke off.', said.error.code, said.error.reason)
  tell(said.result)
}

/** send is an answer that was a success; it throws a Failure for others. */
export async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const request: RequestInit = { method, signal: signal ?? null, headers: { Accept: 'application/json' } }
  if (body !== undefined) {
    request.body = JSON.stringify(body)
    request.headers = { ...request.headers, 'Content-Type': 'application/json' }
  }
  let answer = await reach(path, request)
  if (answer.status === 401 && !path.startsWith('/login/')) {
    if (await refreshed()) answer = await reach(path, request)
    if (answer.status === 401) lost()
  }
  if (!answer.ok) throw await failure(answer)
  return answer
}

async function reach(path: string, request: RequestInit): Promise<Response> {
  try {
    const answer = await fetch(path, request)
    gone.value = false
    return answer
  } catch (err) {
    if ((err as Error).name === 'AbortError') throw err
    gone.value = true
    throw new Failure(0, 'The gateway does not answer.')
  }
}

async function failure(answer: Response): Promise<Failure> {
  const request = answer.headers.get('x-request-id') ?? ''
  try {
    const said = await answer.json()
    return new Failure(answer.status, said.message || answer.statusText, said.code, said.reason, request)
  } catch {
    return new Failure(answer.status, answer.statusText || `status ${answer.status}`, '', '', request)
  }
}

let refreshing: Promise<boolean> | null = null

// An access token lives for minutes. Requests that fail together renew it once, and so do
// the tabs of a browser: a refresh token that is used twice ends the session. It fails
// where nobody says that the session has ended.
function refreshed(): Promise<boolean> {
  refreshing ??= alone(async () => {
    if ((await reach('/api/v1/whoami', { headers: { Accept: 'application/json' } })).status !== 401) return true // another tab did
    const answer = await reach('/login/refresh', { method: 'POST' })
    if (answer.ok) return true
    if (answer.status === 401 || answer.status === 403) return false
    throw new Failure(answer.status, 'The session could not be renewed now.')
  }).finally(() => {
    refreshing = null
  })
  return refreshing
}

// Over plain text from another machine, browsers have no locks.
const alone = <T>(deed: () => Promise<T>): Promise<T> => (navigator.locks as LockManager | undefined)?.request('driftmesh session', deed) as Promise<T> | undefined ?? deed()
