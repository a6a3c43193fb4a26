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
      if (e.ctrlKey || e.metaKey || e.altKey || target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName)) return
      if (e.key === 'Enter' && target.closest('a, button, summary, [role=button]')) return // what has the focus is meant
      const pair = Date.now() - when < 1000 ? `${before} ${e.key}` : ''
      const deed = latest.current[pair] ?? latest.current[e.key]
      before = e.key
      when = Date.now()
      if (!deed) return
      e.preventDefault()
      deed()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
}
