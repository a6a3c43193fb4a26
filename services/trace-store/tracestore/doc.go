// Package tracestore is the service that keeps spans: it writes what the door
// accepted to ClickHouse, each span once however often it is delivered, and
// answers questions about traces.
//
//	consumes  topic spans (group trace-store)
//	produces  nothing
//	calls     auth: WatchLimits
//	serves    driftmesh.trace.v1.TraceService, driftmesh.ledger.v1.LedgerService (GetSettled)
//	owns      tables spans, span_index, operations, span_ledger and the views otel_traces, otel_traces_trace_id_ts
//
// The way of a batch of messages:
//
//	spans ──▶ decode into columns ──▶ spans, span_index ──▶ span_ledger ──▶ acknowledge
//	            └─▶ a bad span is rejected alone, with a reason, in the ledger
//
// Each arrow is durable before the next begins, and each can be repeated: a
// crash anywhere means that the batch comes again and changes nothing.
//
// Package store decodes and writes, package query reads, package sql runs the
// statements of users; this package only connects them with the broker and with gRPC.
package tracestore
