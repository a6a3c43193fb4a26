// Package otlpdoor is the gateway's door for OpenTelemetry traces: OTLP over
// gRPC and over HTTP.
//
//	                identify    read, inflate    otlp.Scan      envelope.Pack, broker.Publish
//	OTLP/gRPC ─┐
//	OTLP/HTTP ─┴──▶ who calls ─▶ bytes in ────▶ good spans ───▶ topic spans ──▶ durable ──▶ answer
//	                  │ 401        │ 413, 503     │ partial        │ away: 503
//
// The bytes of a request are never unmarshalled: they are scanned on the wire,
// packed and published as they came, and only a request that holds something
// bad, or is larger than a broker message, is rewritten. What happens to a
// request does not allocate per span.
//
// The answer is given after the broker's acknowledgement, and follows the OTLP
// specification: bad spans are a partial success and their neighbours are
// stored; what a client should send again is UNAVAILABLE with RetryInfo (503
// with Retry-After), and nothing else is. Metrics and logs are taken and let go of (unkept).
//
// Memory is bounded: requests in hand take bytes from one budget, and when it
// is used up further ones are turned away before they are read.
package otlpdoor
