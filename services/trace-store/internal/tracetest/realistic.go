package tracetest

import (
	"fmt"
	"math/rand/v2"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Realistic makes a request as SDKs send them: 100 spans of 10 traces and 4
// services that start within a second of at (Unix nanoseconds), 10 attributes a
// span, 10 resource attributes; about 47 KB. One span in fifty is an error.
func Realistic(r *rand.Rand, at uint64) *tracev1.TracesData {
	data := &tracev1.TracesData{}
	traces, roots := make([][]byte, 10), make([][]byte, 10)
	for i := range traces {
		traces[i], roots[i] = id(r, 16), id(r, 8)
	}
	for service := range 4 {
		spans := make([]*tracev1.Span, 25)
		for i := range spans {
			spans[i] = realisticSpan(r, at, service*25+i, traces, roots)
		}
		data.ResourceSpans = append(data.ResourceSpans, &tracev1.ResourceSpans{
			Resource: &resourcev1.Resource{Attributes: realisticResource(service)},
			ScopeSpans: []*tracev1.ScopeSpans{{
				Scope: &commonv1.InstrumentationScope{Name: "go.opentelemetry.io/contrib/net/http", Version: "0.60.0"},
				Spans: spans,
			}},
		})
	}
	return data
}

func realisticSpan(r *rand.Rand, at uint64, n int, traces, roots [][]byte) *tracev1.Span {
	start := at + r.Uint64N(1e9)
	s := &tracev1.Span{
		TraceId: traces[n%10], SpanId: id(r, 8), ParentSpanId: roots[n%10],
		Name: fmt.Sprintf("GET /api/v%d/orders/{id}", n%12), Kind: tracev1.Span_SpanKind(1 + n%5),
		StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(r.ExpFloat64()*2e7), Flags: 257,
		Attributes: []*commonv1.KeyValue{
			str("http.request.method", "GET"), str("url.path", fmt.Sprintf("/api/orders/%d", r.IntN(1e6))),
			num("http.response.status_code", 200), str("server.address", "orders.internal.example"),
			num("server.port", 8443), str("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Chrome/130"),
			str("network.protocol.version", "1.1"), str("client.address", fmt.Sprintf("10.1.%d.%d", r.IntN(255), r.IntN(255))),
			str("enduser.id", fmt.Sprintf("user-%d", r.IntN(1e5))), str("thread.name", fmt.Sprintf("worker-%d", n%16)),
		},
		Status: &tracev1.Status{},
	}
	if n < 10 { // the first span of a trace is its root
		s.SpanId, s.ParentSpanId = roots[n], nil
		s.StartTimeUnixNano = at
	}
	if r.IntN(50) == 0 {
		s.Status.Code = tracev1.Status_STATUS_CODE_ERROR
		s.Attributes[2] = num("http.response.status_code", 500)
	}
	return s
}

func realisticResource(service int) []*commonv1.KeyValue {
	return []*commonv1.KeyValue{
		str("service.name", fmt.Sprintf("service-%d", service)), str("service.namespace", "shop"),
		str("service.version", "1.42.0"), str("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
		str("host.name", "node-17.eu-central.example"), str("k8s.namespace.name", "shop"),
		str("k8s.pod.name", "service-7d9f8c6b5-x2x9z"), str("telemetry.sdk.name", "opentelemetry"),
		str("telemetry.sdk.language", "go"), str("telemetry.sdk.version", "1.40.0"),
	}
}
