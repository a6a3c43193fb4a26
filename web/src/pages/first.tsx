import { useState } from 'preact/hooks'
import { Card, Copy, Segments } from '../ui/parts'

// The lines are those of docs/quickstart.md's, one language each.
const host = location.hostname
const lines = {
  otlp: ['Any OpenTelemetry SDK', `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4317
export OTEL_SERVICE_NAME=checkout`],
  python: ['Python', `pip install opentelemetry-distro opentelemetry-exporter-otlp
OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4317 opentelemetry-instrument --service_name checkout python app.py`],
  go: ['Go', `shutdown, err := sdk.Init(ctx) // DRIFTMESH_ENDPOINT=${host}:50051
defer shutdown(context.Background())
ctx, span := sdk.Start(ctx, "checkout")`],
  java: ['Java', `java -javaagent:opentelemetry-javaagent.jar -Dotel.exporter.otlp.endpoint=http://${host}:4317 -Dotel.service.name=checkout -jar app.jar`],
  curl: ['curl', `curl -s http://${host}:4318/v1/traces -H 'Content-Type: application/json' -d '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"pay","kind":2,"startTimeUnixNano":"'$(date +%s)000000000'","endTimeUnixNano":"'$(date +%s)500000000'"}]}]}]}'`],
} as const

type Language = keyof typeof lines

/** First is what an empty mesh shows: how the first span comes. It fills in by itself. */
export function First() {
  const [language, choose] = useState<Language>('otlp')
  const [, text] = lines[language]
  return (
    <>
      <h1>Nothing has arrived yet. Send a first span.</h1>
      <Card title="A first span" tools={<Segments label="Language" value={language} of={(Object.keys(lines) as Language[]).map((k) => [k, lines[k][0]] as const)} choose={choose} />}>
        <div class="body">
          <pre><code>{text}</code></pre>
          <Copy text={text}>Copy</Copy>
          <p class="note">This page shows it as soon as it is there.</p>
        </div>
      </Card>
      <Card title="A first model">
        <div class="body">
          <pre><code>{'driftmesh profile create reference.parquet --space shop --name churn\ndriftmesh records publish current.jsonl --profile shop/churn'}</code></pre>
        </div>
      </Card>
    </>
  )
}
