// Package gateway is the only public door of the mesh: everything that comes
// from outside comes through it, is authenticated, bounded and checked here,
// and either published to the broker or passed on to the service that knows.
//
//	consumes   spans, records (live tails only, outside any group)
//	produces   spans, records, span-receipts, record-receipts
//	calls      auth, drift, trace-store, ingest-worker
//	owns       nothing durable
//
//	            OTLP gRPC, HTTP ─▶ otlpdoor ─┐
//	                                         ├─▶ broker ─▶ …
//	gRPC ─┬─▶ IngestService ─▶ records ──────┘      │
//	      │         └──────── tail ◀────────────────┘
//	      ├─▶ LedgerService ─▶ ledger ─▶ trace-store, ingest-worker
//	      └─▶ Auth, Drift, TraceService ─▶ proxy ─▶ auth, drift, trace-store
//	HTTP ─┬─▶ /api ─▶ the same gRPC server, inside the process
//	      └─▶ /jaeger ─▶ jaeger ─▶ trace-store
//
// Who calls is found out once, from the token or API key, at every listener;
// the tenant comes from there and from nowhere else. Where callers without
// credentials are let in, the gateway refuses to listen on anything but
// loopback, unless it is told that this is meant.
package gateway
