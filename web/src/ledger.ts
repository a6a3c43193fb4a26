import type { Account } from './api/types'

/** books is the state of a tenant's ledger. What is being stored while it is asked for may be
 * counted on one side only: then it is settling, and nothing is missing. */
export function books(accounts: Account[]): 'balanced' | 'settling' | 'missing' {
  if (accounts.some((a) => a.missing !== '0' || a.missing_messages !== '0')) return 'missing'
  return accounts.every((a) => a.balanced) ? 'balanced' : 'settling'
}
