import { useAsked } from '../ask'
import { get } from '../api/client'
import type { ListProfilesResponse } from '../api/types'
import { Card, Empty, Shown, Status } from '../ui/parts'
import { at, count } from '../words'
import { profilePath } from './model-parts'

export function Models() {
  const profiles = useAsked('profiles', (s) => get<ListProfilesResponse>('/api/v1/profiles', { page_size: 1000 }, s), 30_000)
  return (
    <Card title="Models" note="profiles with their versions, the newest first">
      <Shown of={profiles} what="Profiles">
        {(v) => v.profiles.length === 0 ? <Empty>No profile yet. <code>driftmesh profile create --reference training.csv --space ml --name churn</code> makes one.</Empty> : (
          <table>
            <thead><tr><th>Profile</th><th>Version</th><th>State</th><th class="right">Features</th><th class="right wide">Reference</th><th class="wide">Monitors</th><th class="right wide">Made</th></tr></thead>
            <tbody>
              {v.profiles.toSorted((a, b) => `${a.space}/${a.name}`.localeCompare(`${b.space}/${b.name}`) || b.version.localeCompare(a.version, undefined, { numeric: true })).map((p) => (
                <tr key={p.uid}>
                  <td class="name"><a class="plain" href={profilePath(p)} title={`${p.space}/${p.name}`}>{p.space}/{p.name}</a></td>
                  <td>{p.version}</td>
                  <td>{p.active ? <Status kind="ok">active</Status> : <span class="faint">at rest</span>}</td>
                  <td class="right">{count(p.features.length)}</td>
                  <td class="right wide">{count(p.reference_rows)} rows</td>
                  <td class="wide faint">{p.monitors.map((m) => m.name).join(', ')}</td>
                  <td class="right wide faint">{at(p.create_time)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </Card>
  )
}
