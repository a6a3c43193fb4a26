import { useState } from 'preact/hooks'
import { get, post } from '../api/client'
import type { GetDeadLetterResponse, RedriveDeadLettersResponse } from '../api/types'
import { useAsked } from '../ask'
import { useDeed } from '../deed'
import { may } from '../session'
import { Card, Empty, Shown } from '../ui/parts'
import { at, count } from '../words'
import { outcome } from './pipeline'

export function DeadLetter({ id }: { id: string }) {
  const [said, say] = useState('')
  const letter = useAsked(id, (s) => get<GetDeadLetterResponse>(`/api/v1/dead-letters/${encodeURIComponent(id)}`, {}, s))
  const deed = useDeed()
  const redrive = () => deed.run(() => post<RedriveDeadLettersResponse>('/api/v1/dead-letters:redrive', { ids: [id] }), ({ results }) => {
    say(outcome(results))
    letter.again()
  })
  return (
    <Shown of={letter} what="This letter">
      {({ dead_letter: l, headers, preview, preview_note, value }) => l ? (
        <>
          <div class="headline">
            <h1>{l.reason} in {l.topic}</h1>
            <span class="space" />
            {(deed.failure || said) && <span class="note" role="status">{deed.failure?.message ?? said}</span>}
            {may('dead-letters.redrive') && l.state === 'DEAD_LETTER_STATE_PARKED' && <button class="button primary" type="button" disabled={deed.busy} onClick={redrive}>Redrive</button>}
          </div>
          <p>{l.error}</p>
          <p class="faint small">parked {at(l.dead_time)} by {l.worker} after {l.attempts} attempts · {count(l.count)} items in {count(l.value_bytes)} bytes · {l.lane} {l.position}{l.redrives > 0 && ` · redriven ${l.redrives} times, last ${at(l.redrive_time)} by ${l.redriven_by}`}</p>
          <Card title="Content" note={preview_note || l.type}><div class="body"><pre><code>{preview || atob(value).slice(0, 4000)}</code></pre></div></Card>
          <Card title="Headers">
            <table class="dense"><tbody>{headers.map((h, i) => <tr key={i}><td class="mono">{h.key}</td><td class="name mono">{plainText(h.value)}</td></tr>)}</tbody></table>
          </Card>
        </>
      ) : <Empty>It is not there.</Empty>}
    </Shown>
  )
}

/** plainText is a header's value, which comes as base64, where it is text. */
function plainText(value: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(atob(value), (c) => c.charCodeAt(0)))
  } catch {
    return value
  }
}
