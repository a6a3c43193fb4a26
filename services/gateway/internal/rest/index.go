package rest

import "net/http"

// page is what a person sees who opens the address in a browser.
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>driftmesh</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 3rem auto; padding: 0 1rem }
code { background: #8882; padding: .1em .3em; border-radius: 3px }
td { padding: .2rem 1rem .2rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } a { color: #8bf } }
</style>
</head>
<body>
<h1>driftmesh</h1>
<p>What happened in this request, and has the world moved away from what the model learned?</p>
<table>
<tr><td><a href="/openapi.json">/openapi.json</a></td><td>what there is under <code>/api/v1</code>, as OpenAPI</td></tr>
<tr><td><a href="/api/v1/whoami">/api/v1/whoami</a></td><td>who you are to this gateway</td></tr>
<tr><td><a href="/api/v1/services">/api/v1/services</a></td><td>services that sent spans</td></tr>
<tr><td><a href="/api/v1/sql?query=SELECT%20ServiceName%2C%20count%28%29%20AS%20spans%20FROM%20otel_traces%20GROUP%20BY%20ServiceName&amp;format=csv">/api/v1/sql</a></td><td>SQL over your spans</td></tr>
<tr><td><a href="/api/v1/profiles">/api/v1/profiles</a></td><td>drift profiles</td></tr>
<tr><td><a href="/api/v1/alerts">/api/v1/alerts</a></td><td>drift alerts</td></tr>
<tr><td><a href="/api/v1/ledger">/api/v1/ledger</a></td><td>what became of everything that arrived</td></tr>
<tr><td><a href="/api/v1/dead-letters">/api/v1/dead-letters</a></td><td>messages that could not be handled, and why</td></tr>
<tr><td><a href="/api/v1/topics">/api/v1/topics</a></td><td>how far the readers of each topic are behind</td></tr>
<tr><td><a href="/api/v1/tail?signal=SIGNAL_SPANS">/api/v1/tail?signal=SIGNAL_SPANS</a></td><td>spans as they arrive, one JSON object a line</td></tr>
<tr><td><a href="/jaeger/api/services">/jaeger</a></td><td>Jaeger's query API: the URL for Grafana's Jaeger data source</td></tr>
<tr><td><a href="/.well-known/jwks.json">/.well-known/jwks.json</a></td><td>the keys that tokens are checked with</td></tr>
</table>
<p>Spans are taken in as OTLP, by default on ports 4317 (gRPC) and 4318 (HTTP, <code>/v1/traces</code>);
records and everything else on 50051 (gRPC).</p>
</body>
</html>
`

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write([]byte(page)) // the caller went away: nobody is left to tell
}
