// Package store writes spans to ClickHouse.
//
// It owns the tables of trace-store (migrations/*.sql) and the way from the
// bytes of an OTLP ExportTraceServiceRequest to native column blocks:
//
//	message ──Decoder──▶ span, resource, scope ──Columns──▶ blocks ──Writer──▶ spans, span_index, span_ledger
//
// The Decoder walks the protobuf wire without unmarshalling, so that a span
// costs little more than copying its bytes. A span that breaks a rule is
// counted as rejected under a reason, and its neighbours are stored. Columns
// holds one block of many messages and is reused for the next one.
//
// Everything is idempotent: writing a message again changes no answer.
package store
