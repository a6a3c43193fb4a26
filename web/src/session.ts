// Who looks, and what they may.
import { computed, signal } from '@preact/signals'
import { Failure, get, send, whenLost } from './api/client'
import type { ListProvidersResponse, Provider, WhoAmIResponse } from './api/types'

/** session is who looks: undefined while that is asked, null for nobody. */
export const session = signal<WhoAmIResponse | null | undefined>(undefined)

/** entering is whether somebody who is let in without credentials wants to log in. */
export const entering = signal(false)

/** trouble is why it could not be asked. */
export const trouble = signal<Failure | null>(null)

/** ended is whether the session did while somebody worked with it. What is on the screen
 * is kept, unseen, for the same user. */
export const ended = signal(false)

/** whenBack does something once there is a session; what it gives takes that back. */
export function whenBack(deed: () => void): () => void {
  let off = () => {}
  off = ended.subscribe((over) => {
    if (over) return
    deed()
    queueMicrotask(() => off())
  })
  return () => off()
}

whenLost(() => {
  if (session.value) ended.value = true
  else session.value = null
})

/** identity tells users apart; what one was shown is not for another. */
export const identity = computed(() => (session.value ? [session.value.kind, session.value.tenant, session.value.subject, session.value.role].join(' ') : ''))

// The tabs of a browser have one session. When one logs in or out, so do the others.
const tabs = new BroadcastChannel('session')
tabs.onmessage = (e) => {
  if (e.data === identity.value) return
  if (e.data === '') forget()
  void whoami()
}

function forget(): void {
  session.value = undefined
  ended.value = false
}

export const may = (permission: string): boolean => !!session.value && session.value.permissions.includes(permission)

export async function whoami(): Promise<void> {
  try {
    session.value = await get<WhoAmIResponse>('/api/v1/whoami')
    trouble.value = null
    ended.value = false
  } catch (err) {
    if (err instanceof Failure && err.status !== 401) trouble.value = err // else nobody is known
  }
  if (identity.value && !ended.value) tabs.postMessage(identity.value)
}

export async function login(tenant: string, username: string, password: string): Promise<void> {
  await send('POST', '/login/password', { tenant, username, password })
  entering.value = false
  await whoami()
}

export async function logout(): Promise<void> {
  await send('POST', '/login/logout')
  forget()
  tabs.postMessage('')
  await whoami() // on loopback one is let in again without credentials
}

export const providers = async (): Promise<Provider[]> => (await get<ListProvidersResponse>('/api/v1/providers')).providers
