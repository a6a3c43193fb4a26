import { useRef } from 'preact/hooks'
import { useKeys } from '../keys'

const keys = [
  ['?', 'this list'],
  ['Ctrl K', 'go anywhere: a screen, a service, a model, a trace by its id'],
  ['/', 'to the search, of a trace too'],
  ['g o · g t · g k · g m', 'overview, traces, map, models'],
  ['g a · g p · g l · g d', 'alerts, pipeline, live tail, admin'],
  ['p', 'pause the live tail, and go on'],
  ['j k', 'next and previous row'],
  ['Enter', 'open the row'],
  ['[ ]', 'fold and unfold a trace by a level'],
  ['x', 'critical path of a trace; in the search, pick a row to compare'],
  ['e', 'next error of a trace'],
  ['n N', 'next match in a trace, and the one before'],
  ['c', 'compare a trace with another, or the two that are picked'],
  ['o', 'the next order of the traces found: newest, longest, most errors'],
  ['Esc', 'close what is open'],
] as const

/** outside closes a dialog at a click beside it, as a telephone without Esc needs. */
export function outside(e: MouseEvent & { currentTarget: HTMLDialogElement }): void {
  const box = e.currentTarget.getBoundingClientRect()
  if (e.target === e.currentTarget && (e.clientX < box.left || e.clientX > box.right || e.clientY < box.top || e.clientY > box.bottom)) e.currentTarget.close()
}

/** Help lists the keys, at a press of "?". */
export function Help() {
  const dialog = useRef<HTMLDialogElement>(null)
  useKeys({ '?': () => dialog.current?.showModal() })
  return (
    <dialog ref={dialog} class="help" aria-label="Keys" onClick={outside}>
      <h2>Keys</h2>
      <dl>
        {keys.map(([key, what]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}
      </dl>
      <form method="dialog"><button class="button" type="submit">Close</button></form>
    </dialog>
  )
}
