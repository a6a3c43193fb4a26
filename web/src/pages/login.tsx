import { useEffect, useRef, useState } from 'preact/hooks'
import type { Provider } from '../api/types'
import { useDeed } from '../deed'
import { ended, entering, login, providers, session } from '../session'

export function Login() {
  const deed = useDeed()
  const [others, offer] = useState<Provider[]>([])
  const form = useRef<HTMLFormElement>(null)
  const was = ended.value ? session.value : null
  useEffect(() => {
    document.title = 'Log in · driftmesh'
    form.current?.querySelector<HTMLInputElement>(was ? '[name=password]' : '[name=username]')?.focus() // browsers heed autofocus once a page
    providers().then(offer, () => offer([]))
  }, [])
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const said = new FormData(e.currentTarget as HTMLFormElement)
    deed.run(() => login(String(said.get('tenant')), String(said.get('username')), String(said.get('password'))))
  }
  const back = encodeURIComponent(location.pathname + location.search)
  return (
    <main class="alone">
      <form class="card login" onSubmit={submit} ref={form}>
        <h1>driftmesh</h1>
        {was && <p class="note" role="status">The session has ended. Log in again as {was.subject}, and you go on where you were.</p>}
        <label>Tenant<input name="tenant" defaultValue={was?.tenant ?? 'default'} autocomplete="organization" required /></label>
        <label>Name<input name="username" defaultValue={was?.subject ?? ''} autocomplete="username" required /></label>
        <label>Password<input name="password" type="password" autocomplete="current-password" required /></label>
        {deed.failure && <p class="note" role="alert">{deed.failure.message}</p>}
        <button class="button primary" type="submit" disabled={deed.busy}>Log in</button>
        {entering.value && !ended.value && <button class="button quiet" type="button" onClick={() => (entering.value = false)}>Back</button>}
        {others.filter((p) => p.browser).map((p) => <a key={p.name} class="button" href={`/login/start/${encodeURIComponent(p.name)}?return=${back}`}>Log in with {p.name}</a>)}
      </form>
    </main>
  )
}
