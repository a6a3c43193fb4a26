// Package jaeger serves Jaeger's HTTP query API, so that Jaeger's user
// interface, Grafana's Jaeger data source and everything else that speaks it
// can read the mesh's traces. It owns nothing: traces come from the trace
// store over gRPC, and whoever mounts the handler authenticates its callers.
//
// Two generations of the API are served side by side, below whatever prefix
// the handler is mounted at:
//
//	/api/services                        names of services
//	/api/services/{service}/operations   names of spans
//	/api/operations?service&spanKind     names of spans with their kind
//	/api/traces/{id}                     one trace
//	/api/traces?service&…                search, or traceID= once or more
//	/api/dependencies?endTs&lookback     how often services call one another
//	/api/metrics/calls?service&…         calls a second, as are …
//	/api/metrics/errors?service&…        the share that failed
//	/api/metrics/latencies?service&…     a quantile of how long they took
//	/api/metrics/minstep                 the shortest step between points
//	/api/transform                       a posted OTLP/JSON document as Jaeger's
//	/api/v3/…                            the same in OTLP's own JSON
//
// The translation from OTLP is the one Jaeger itself uses (the OpenTelemetry
// Collector's pkg/translator/jaeger): the parent is the first CHILD_OF
// reference, links are FOLLOWS_FROM unless they say opentracing.ref_type, kind,
// status and scope are tags, events are logs.
//
// Where the mesh knows better it says so: spans that share an id get ids of
// their own, orphans and clocks that differ are warnings, "more" and
// "truncated" tell what was cut off. An answer is whole or it is an error: when
// the store fails after the first MiB was sent, the connection breaks.
package jaeger
