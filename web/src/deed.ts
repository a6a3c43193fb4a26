import { useRef, useState } from 'preact/hooks'
import type { Failure } from './api/client'

/** Deed is something that is being done because somebody asked for it. */
export interface Deed {
  busy: boolean
  failure: Failure | null
  /** run does it, and then, if that went well, what comes after. */
  run: <T>(deed: () => Promise<T>, after?: (value: T) => void) => void
}

const twice = 500 // ms in which two clicks are one: of a button, too, that says the opposite by then

/** useDeed does one thing at a time. */
export function useDeed(): Deed {
  const [state, set] = useState<{ busy: boolean; failure: Failure | null }>({ busy: false, failure: null })
  const busy = useRef(false) // at once, however long it is until it is drawn
  return {
    ...state,
    run: (deed, after) => {
      if (busy.current) return
      busy.current = true
      set({ busy: true, failure: null })
      const begun = Date.now()
      const over = (failure: Failure | null) => {
        set({ busy: true, failure })
        setTimeout(() => {
          busy.current = false
          set({ busy: false, failure })
        }, begun + twice - Date.now())
      }
      deed().then(
        (value) => {
          over(null)
          after?.(value)
        },
        over,
      )
    },
  }
}
