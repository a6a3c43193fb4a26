import { useState } from 'preact/hooks'
import { session } from '../session'
import { Card, Copy, Segments } from '../ui/parts'

// Spans are taken at the address of this page too, so that every line is right as it
// stands, whatever the ports are.
const key = () => session.value?.kind !== 'anonymous'
const otel = () => `OTEL_EXPORTER_OTLP_ENDPOINT=${location.origin} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none OTEL_SERVICE_NAME=checkout${key() ? ' OTEL_EXPORTER_OTLP_HEADERS=x-api-key=KEY' : ''}`

const lines = {
  otlp: ['Any OpenTelemetry SDK', () => `export ${otel()}`],
  python: ['Python', () => `pip install opentelemetry-distro opentelemetry-exporter-otlp
${otel()} opentelemetry-instrument python app.py`],
  go: ['Go', () => `// DRIFTMESH_URL=${location.origin}${key() ? ' DRIFTMESH_API_KEY=KEY' : ''}
client, err := sdk.Init(ctx, sdk.WithServiceName("checkout"))
if err != nil {
	return err
}
defer client.Shutdown(ctx)
err = sdk.Run(ctx, "pay", pay)`],
  java: ['Java', () => `${otel()} java -javaagent:opentelemetry-javaagent.jar -jar app.jar`],
  curl: ['curl', () => `curl -s ${location.origin}/v1/traces -H 'Content-Type: application/json'${key() ? " -H 'X-Api-Key: KEY'" : ''} -d '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"pay","kind":2,"startTimeUnixNano":"'$(date +%s)000000000'","endTimeUnixNano":"'$(date +%s)500000000'"}]}]}]}'`],
} as const

type Language = keyof typeof lines

/** First is what an empty mesh shows: how the first span comes. It fills in by itself. */
export function First() {
  const [language, choose] = useState<Language>('otlp')
  const text = lines[language][1]()
  return (
    <>
      <h1>Nothing has arrived yet. Send a first span.</h1>
      <Card title="A first span" tools={<Segments label="Language" value={language} of={(Object.keys(lines) as Language[]).map((k) => [k, lines[k][0]] as const)} choose={choose} />}>
        <div class="body">
          <pre><code>{text}</code></pre>
          <Copy text={text}>Copy</Copy>
          <p class="note">{key() && <>KEY is an API key: <a href="/admin?room=keys">make one</a>. </>}This page shows the span as soon as it is there.</p>
        </div>
      </Card>
      <Card title="A first model">
        <div class="body">
          <pre><code>{'driftmesh profile create --reference training.csv --space ml --name churn\ndriftmesh records send today.csv --profile ml/churn'}</code></pre>
        </div>
      </Card>
    </>
  )
}
