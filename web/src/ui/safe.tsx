// What stands where a screen cannot be shown.
import { Component, type ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { Status } from './parts'

interface State { at: string; wrong: Error | null }

/** Safe shows what is in it, and where that fails, that it did: until one goes elsewhere. */
export class Safe extends Component<{ at: string; children: ComponentChildren }, State> {
  override state: State = { at: '', wrong: null }
  static override getDerivedStateFromProps(props: { at: string }, state: State): Partial<State> | null {
    return state.at === props.at ? null : { at: props.at, wrong: null }
  }
  static override getDerivedStateFromError(wrong: Error): Partial<State> {
    return { wrong }
  }
  override render() {
    const { wrong } = this.state
    if (!wrong) return this.props.children
    return (
      <div class="note trouble" role="alert">
        <Status kind="error">This screen failed</Status>
        <p>{wrong.message}</p>
        <p class="faint small">That is a fault of the program, not of yours. <code>{location.pathname.slice(0, 200)}</code></p>
        <button class="button small" type="button" onClick={() => this.setState({ wrong: null })}>Try again</button> <a class="button small" href="/">To the overview</a>
      </div>
    )
  }
}

const patience = 30_000 // ms from one loading of the page by itself to the next

/** Missing is a screen that could not be loaded: the gateway was not there, or is of
 * another version by now, which the page is too when it is loaded anew. */
export function Missing() {
  useEffect(() => {
    const timer = setInterval(async () => {
      const there = await fetch('/').then((answer) => answer.ok, () => false)
      if (!there || Date.now() - Number(sessionStorage.getItem('loaded anew')) < patience) return
      sessionStorage.setItem('loaded anew', String(Date.now()))
      location.reload()
    }, 2000)
    return () => clearInterval(timer)
  }, [])
  return (
    <div class="note trouble" role="alert">
      <Status kind="error">This screen could not be loaded</Status>
      <p>The gateway does not answer, or is of another version than this page. As soon as it answers, the page is loaded anew.</p>
      <button class="button small" type="button" onClick={() => location.reload()}>Load it now</button>
    </div>
  )
}
