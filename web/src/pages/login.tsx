import { useEffect, useState } from 'preact/hooks'
import type { Failure } from '../api/client'
import type { Provider } from '../api/types'
import { entering, login, providers } from '../session'

export function Login() {
  const [failure, fail] = useState<Failure | null>(null)
  const [busy, work] = useState(false)
  const [others, offer] = useState<Provider[]>([])
  useEffect(() => {
    document.title = 'Log in · driftmesh'
    providers().then(offer, () => offer([]))
  }, [])
  const submit = async (e: SubmitEvent) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    work(true)
    try {
      await login(String(form.get('tenant')), String(form.get('username')), String(form.get('password')))
    } catch (err) {
      fail(err as Failure)
    } finally {
      work(false)
    }
  }
  const back = encodeURIComponent(location.pathname + location.search)
  return (
    <main class="alone">
      <form class="card login" onSubmit={submit}>
        <h1>driftmesh</h1>
        <label>Tenant<input name="tenant" defaultValue="default" autocomplete="organization" required /></label>
        <label>Name<input name="username" autocomplete="username" required autofocus /></label>
        <label>Password<input name="password" type="password" autocomplete="current-password" required /></label>
        {failure && <p class="note" role="alert">{failure.message}</p>}
        <button class="button primary" type="submit" disabled={busy}>Log in</button>
        {entering.value && <button class="button quiet" type="button" onClick={() => (entering.value = false)}>Back</button>}
        {others.filter((p) => p.browser).map((p) => <a key={p.name} class="button" href={`/login/start/${encodeURIComponent(p.name)}?return=${back}`}>Log in with {p.name}</a>)}
      </form>
    </main>
  )
}
