// Fields that the address has too.
import type { RefObject, TargetedEvent, TargetedKeyboardEvent } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { went } from './url'

/** useTyped is for a field that shows a value that is told elsewhere, such as the address.
 * While somebody types, what is typed stands: what is told then is the same, only later.
 * Whoever goes back a page sees what that one had. */
export function useTyped(value: string): RefObject<HTMLInputElement | null> {
  const input = useRef<HTMLInputElement>(null)
  useLayoutEffect(() => {
    const at = input.current
    if (at && at.value !== value && (went.back || document.activeElement !== at)) at.value = value
  }, [value])
  return input
}

interface Props {
  value: string
  'aria-label'?: string
  autocomplete?: 'off'
  class?: string
  id?: string
  inputMode?: 'decimal' | 'numeric'
  list?: string
  name?: string
  placeholder?: string
  type?: 'search'
  onChange?: (e: TargetedEvent<HTMLInputElement>) => void
  onInput?: (e: TargetedEvent<HTMLInputElement>) => void
  onKeyDown?: (e: TargetedKeyboardEvent<HTMLInputElement>) => void
}

/** Typed is such a field. */
export function Typed({ value, ...rest }: Props) {
  return <input ref={useTyped(value)} {...rest} />
}
