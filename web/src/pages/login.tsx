import { useEffect, useState } from 'preact/hooks'
import type { Provider } from '../api/types'
import { useDeed } from '../deed'
import { ended, entering, login, providers, session } from '../session'

export function Login() {
  const deed = useDeed()
  const [others, offer] = useState<Provider[]>([])
  useEffect(() => {
    document.title = 'Log in · driftmesh'
    providers().then(offer, () => offer([]))
  }, [])
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    deed.run(() => login(String(form.get('tenant')), String(form.get('username')), String(form.get('password'))))
  }
  const was = ended.value ? session.value : null
  const back = encodeURIComponent(location.pathname + location.search)
  return (
    <main class="alone">
      <form class="card login" onSubmit={submit}>
        <h1>driftmesh</h1>
        {was && <p class="note" role="status">The session has ended. Log in again as {was.subject}, and you go on where you were.</p>}
        <label>Tenant<input name="tenant" defaultValue={was?.tenant ?? 'default'} autocomplete="organization" required /></label>
        <label>Name<input name="username" defaultValue={was?.subject ?? ''} autocomplete="username" required autofocus={!was} /></label>
        <label>Password<input name="password" type="password" autocomplete="current-password" required autofocus={!!was} /></label>
        {deed.failure && <p class="note" role="alert">{deed.failure.message}</p>}
        <button class="button primary" type="submit" disabled={deed.busy}>Log in</button>
        {entering.value && !ended.value && <button class="button quiet" type="button" onClick={() => (entering.value = false)}>Back</button>}
        {others.filter((p) => p.browser).map((p) => <a key={p.name} class="button" href={`/login/start/${encodeURIComponent(p.name)}?return=${back}`}>Log in with {p.name}</a>)}
      </form>
    </main>
  )
}
