// Searches with a name, kept by the browser for each tenant.
import { signal } from '@preact/signals'
import { session } from '../session'

export interface Saved { name: string; query: string }

const key = (): string => `searches ${session.value?.tenant ?? ''}`
const changes = signal(0)

/** saved are those of the tenant. */
export function saved(): Saved[] {
  void changes.value
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(key()) ?? '[]')
    return Array.isArray(kept) ? kept.filter((s): s is Saved => typeof s?.name === 'string' && typeof s.query === 'string') : []
  } catch {
    return []
  }
}

function write(all: Saved[]): void {
  localStorage.setItem(key(), JSON.stringify(all.slice(0, 100)))
  changes.value++
}

/** save keeps a search, in the place of one of the same name. */
export const save = (s: Saved): void => write([...saved().filter((o) => o.name !== s.name), s].sort((a, b) => a.name.localeCompare(b.name)))

export const forget = (name: string): void => write(saved().filter((o) => o.name !== name))
