import { useState } from 'preact/hooks'
import type { Failure } from './api/client'

/** Deed is something that is being done because somebody asked for it. */
export interface Deed {
  busy: boolean
  failure: Failure | null
  /** run does it, and then, if that went well, what comes after. */
  run: <T>(deed: () => Promise<T>, after?: (value: T) => void) => void
}

export function useDeed(): Deed {
  const [state, set] = useState<{ busy: boolean; failure: Failure | null }>({ busy: false, failure: null })
  return {
    ...state,
    run: (deed, after) => {
      set({ busy: true, failure: null })
      deed().then(
        (value) => {
          set({ busy: false, failure: null })
          after?.(value)
        },
        (err: Failure) => set({ busy: false, failure: err }),
      )
    },
  }
}
