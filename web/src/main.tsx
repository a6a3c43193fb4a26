import { render } from 'preact'
import { App } from './app'
import { followTheme } from './theme'

followTheme()
// The router takes // for another host.
if (location.pathname.startsWith('//')) history.replaceState(null, '', location.pathname.replace(/^\/+/, '/') + location.search)
render(<App />, document.getElementById('app') as HTMLElement)
