// Who looks, and what they may.
import { signal } from '@preact/signals'
import { Failure, get, send, whenLost } from './api/client'
import type { ListProvidersResponse, Provider, WhoAmIResponse } from './api/types'

/** session is who looks: undefined while that is asked, null for nobody. */
export const session = signal<WhoAmIResponse | null | undefined>(undefined)

/** entering is whether somebody who is let in without credentials wants to log in. */
export const entering = signal(false)

/** trouble is why it could not be asked. */
export const trouble = signal<Failure | null>(null)

whenLost(() => (session.value = null))

export const may = (permission: string): boolean => !!session.value && session.value.permissions.includes(permission)

export async function whoami(): Promise<void> {
  try {
    session.value = await get<WhoAmIResponse>('/api/v1/whoami')
    trouble.value = null
  } catch (err) {
    if (err instanceof Failure && err.status !== 401) trouble.value = err // else nobody is known
  }
}

export async function login(tenant: string, username: string, password: string): Promise<void> {
  await send('POST', '/login/password', { tenant, username, password })
  entering.value = false
  await whoami()
}

export async function logout(): Promise<void> {
  await send('POST', '/login/logout')
  session.value = undefined
  await whoami() // on loopback one is let in again without credentials
}

export const providers = async (): Promise<Provider[]> => (await get<ListProvidersResponse>('/api/v1/providers')).providers
