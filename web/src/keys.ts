// Keys: single ones, and two in a row such as "g t". They do nothing while one writes.
import { useEffect, useRef } from 'preact/hooks'

type Deeds = Record<string, () => void>

/** useKeys does what belongs to a key while the component is there. */
export function useKeys(deeds: Deeds): void {
  const latest = useRef(deeds)
  latest.current = deeds
  useEffect(() => {
    let before = ''
    let when = 0
    const press = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement
      if (document.querySelector('dialog:modal')) return // what is open in front has the keys
      if (e.ctrlKey || e.metaKey || e.altKey || target.isContentEditable || target.matches('input:not([type=checkbox]), textarea, select')) return
      if (e.key === 'Enter' && target.closest('a, button, input, summary, [role=button]')) return // what has the focus is meant
      const soon = e.timeStamp - when < 1000 // as they were pressed, however slow the page is
      // What comes after "g" goes somewhere, and does nothing that it does alone.
      const deed = soon && before === 'g' ? latest.current[`g ${e.key}`] : latest.current[e.key]
      before = e.key
      when = e.timeStamp
      if (!deed) return
      e.preventDefault()
      deed()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
}
