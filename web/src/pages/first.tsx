import { useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { useDeed } from '../deed'
import { sendSample } from '../sample'
import { may, session } from '../session'
import { Card, Copy, Segments, Status } from '../ui/parts'

// Spans are taken at the address of this page too, so that every line is right as it
// stands, whatever the ports are.
const key = () => session.value?.kind !== 'anonymous'
const otel = () => `OTEL_EXPORTER_OTLP_ENDPOINT=${location.origin} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none OTEL_SERVICE_NAME=checkout${key() ? ' OTEL_EXPORTER_OTLP_HEADERS=x-api-key=KEY' : ''}`
const goEnv = () => `// DRIFTMESH_URL=${location.origin}${key() ? ' DRIFTMESH_API_KEY=KEY' : ''}`
const record = '{"records":[{"profile":"ml/churn","features":{"values":[{"name":"tenure_months","int":"7"},{"name":"plan","string":"pro"}]}}]}'
const url = () => `${location.origin}/api/v1/records`

type Language = 'otlp' | 'curl' | 'python' | 'go' | 'javascript' | 'java'

const languages: readonly (readonly [Language, string])[] = [['otlp', 'Any OpenTelemetry SDK'], ['curl', 'curl'], ['python', 'Python'], ['go', 'Go'], ['javascript', 'JavaScript'], ['java', 'Java']]

const spans: Record<Language, () => string> = {
  otlp: () => `export ${otel()}`,
  curl: () => `curl -s ${location.origin}/v1/traces -H 'Content-Type: application/json'${key() ? " -H 'X-Api-Key: KEY'" : ''} -d '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"pay","kind":2,"startTimeUnixNano":"'$(date +%s)000000000'","endTimeUnixNano":"'$(date +%s)500000000'"}]}]}]}'`,
  python: () => `pip install opentelemetry-distro opentelemetry-exporter-otlp
${otel()} opentelemetry-instrument python app.py`,
  go: () => `${goEnv()}
client, err := sdk.Init(ctx, sdk.WithServiceName("checkout"))
if err != nil {
	return err
}
defer client.Shutdown(ctx)
err = sdk.Run(ctx, "pay", pay)`,
  javascript: () => `npm install @opentelemetry/auto-instrumentations-node
${otel()} node --require @opentelemetry/auto-instrumentations-node/register app.js`,
  java: () => `${otel()} java -javaagent:opentelemetry-javaagent.jar -jar app.jar`,
}

const records: Record<Language, () => string> = {
  otlp: () => 'driftmesh records send today.csv --profile ml/churn',
  curl: () => `curl -s ${url()} -H 'Content-Type: application/json'${key() ? " -H 'X-Api-Key: KEY'" : ''} -d '${record}'`,
  python: () => `import urllib.request
body = b'${record}'
headers = {"Content-Type": "application/json"${key() ? ', "X-Api-Key": "KEY"' : ''}}
print(urllib.request.urlopen(urllib.request.Request("${url()}", body, headers)).read())`,
  go: () => `${goEnv()}
err := client.Send(ctx, sdk.Features("ml/churn", sdk.Int("tenure_months", 7), sdk.String("plan", "pro")))`,
  javascript: () => `const body = '${record}'
const headers = { 'Content-Type': 'application/json'${key() ? ", 'X-Api-Key': 'KEY'" : ''} }
console.log(await (await fetch('${url()}', { method: 'POST', headers, body })).json())`,
  java: () => `String body = """
  ${record}""";
var request = java.net.http.HttpRequest.newBuilder(java.net.URI.create("${url()}"))
  .header("Content-Type", "application/json")${key() ? '.header("X-Api-Key", "KEY")' : ''}
  .POST(java.net.http.HttpRequest.BodyPublishers.ofString(body)).build();
System.out.println(java.net.http.HttpClient.newHttpClient().send(request, java.net.http.HttpResponse.BodyHandlers.ofString()).body());`,
}

/** First is what an empty mesh shows: how the first span comes. It fills in by itself. */
export function First() {
  const [language, choose] = useState<Language>('otlp')
  const span = spans[language]()
  const line = records[language]()
  return (
    <>
      <h1>Nothing has arrived yet. Send a first span.</h1>
      <Sample />
      <Card title="A first span" tools={<Segments label="Language" value={language} of={languages} choose={choose} />}>
        <div class="body column">
          <pre tabIndex={0} aria-label="Line for a span"><code>{span}</code></pre>
          <div class="tools"><Copy text={span}>Copy</Copy><span class="note">{key() && <>KEY is an API key: <a href="/admin?room=keys">make one</a>. </>}This page shows the span as soon as it is there.</span></div>
        </div>
      </Card>
      <Card title="A first record" note="a profile is made of training data; records are held against it">
        <div class="body column">
          <pre tabIndex={0} aria-label="Line for a profile"><code>driftmesh profile create --reference training.csv --space ml --name churn</code></pre>
          <pre tabIndex={0} aria-label="Line for a record"><code>{line}</code></pre>
          <div class="tools"><Copy text={line}>Copy</Copy></div>
        </div>
      </Card>
    </>
  )
}

/** Sample sends sample data, for who may send any. */
function Sample() {
  const deed = useDeed()
  const { route } = useLocation()
  if (!may('spans.write')) return <p class="note">Sample data can be sent by who may send spans: you are {session.value?.role || session.value?.kind}.</p>
  const withRecords = may('records.write') && may('profiles.write')
  return (
    <div class="tools">
      <button class="button primary" type="button" disabled={deed.busy} onClick={() => deed.run(() => sendSample(withRecords), (trace) => route(`/traces/${trace}`))}>{deed.busy ? 'Sending…' : 'Send sample data'}</button>
      <span class="note">Four orders of a shop, with their waits in a broker and an error{withRecords && ', and a record of a model for each'}. The first opens.</span>
      {deed.failure && <p class="note" role="alert"><Status kind="error">not sent</Status> {deed.failure.message}</p>}
    </div>
  )
}
