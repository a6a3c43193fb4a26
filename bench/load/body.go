package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The shape of a request.
const (
	SpansPerRequest  = 100
	TracesPerRequest = 10
	spansPerTrace    = SpansPerRequest / TracesPerRequest
	services         = 4
	variants         = 8 // different bodies, so that a store cannot fold them all into one
)

// body is a request with holes where ids and times go.
type body struct {
	variants [variants]template
}

type template struct {
	bytes  []byte
	traces [SpansPerRequest][]int // where each span's trace id stands
	spans  [SpansPerRequest][]int // where each span's id stands: its own, and as a parent
	starts [SpansPerRequest]int
	ends   [SpansPerRequest]int
}

func newBody() *body {
	b := &body{}
	for v := range b.variants {
		b.variants[v] = newTemplate(v)
	}
	return b
}

// fill writes the ids and times of request n into the body and returns it; it
// is good until the next fill.
func (b *body) fill(seed uint64, n int, now time.Time) []byte {
	t := &b.variants[n%variants]
	base := uint64(now.UnixNano()) //nolint:gosec // after 1970
	for i := range SpansPerRequest {
		trace, span := TraceID(seed, n, i/spansPerTrace), SpanID(seed, n, i)
		for _, at := range t.traces[i] {
			copy(t.bytes[at:], trace[:])
		}
		for _, at := range t.spans[i] {
			copy(t.bytes[at:], span[:])
		}
		start := base - uint64(SpansPerRequest-i)*1e6           //nolint:gosec // positive
		duration := 1e5 + mix(uint64(n*SpansPerRequest+i))%50e6 //nolint:gosec // positive
		binary.LittleEndian.PutUint64(t.bytes[t.starts[i]:], start)
		binary.LittleEndian.PutUint64(t.bytes[t.ends[i]:], start+duration)
	}
	return t.bytes
}

// Placeholders that stand nowhere else in the bytes.
func placeholder(kind byte, i, size int) []byte {
	p := bytes.Repeat([]byte{0xf0 | kind}, size)
	binary.LittleEndian.PutUint32(p[size-4:], uint32(i)|0xabcd0000) //nolint:gosec // small
	return p
}

func newTemplate(variant int) template {
	raw, err := proto.Marshal(request(variant))
	if err != nil {
		// The message is our own and well formed.
		raw = nil
	}
	t := template{bytes: raw}
	for i := range SpansPerRequest {
		t.traces[i] = find(raw, placeholder(1, i, 16))
		t.spans[i] = find(raw, placeholder(2, i, 8))
		t.starts[i] = find(raw, placeholder(3, i, 8))[0]
		t.ends[i] = find(raw, placeholder(4, i, 8))[0]
	}
	return t
}

func find(in, what []byte) (at []int) {
	for from := 0; ; {
		i := bytes.Index(in[from:], what)
		if i < 0 {
			return at
		}
		at = append(at, from+i)
		from += i + len(what)
	}
}

func request(variant int) *coltracepb.ExportTraceServiceRequest {
	r := &coltracepb.ExportTraceServiceRequest{}
	for s := range services {
		rs := &tracepb.ResourceSpans{
			Resource: resource(s, variant),
			ScopeSpans: []*tracepb.ScopeSpans{{
				Scope: &commonpb.InstrumentationScope{Name: "github.com/example/shop/http", Version: "1.4.2"},
			}},
		}
		for i := s; i < SpansPerRequest; i += services {
			rs.ScopeSpans[0].Spans = append(rs.ScopeSpans[0].Spans, span(i, variant))
		}
		r.ResourceSpans = append(r.ResourceSpans, rs)
	}
	return r
}

func resource(service, variant int) *resourcepb.Resource {
	names := [services]string{"frontend", "checkout", "inventory", "pricing-model"}
	return &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
		text("service.name", names[service]), text("service.version", fmt.Sprintf("2.%d.0", service)),
		text("service.instance.id", fmt.Sprintf("%s-7d9f8b6c5d-%04x", names[service], variant*7919)),
		text("deployment.environment.name", "production"), text("telemetry.sdk.language", "go"),
		text("telemetry.sdk.name", "opentelemetry"), text("telemetry.sdk.version", "1.47.0"),
		text("host.name", fmt.Sprintf("node-%d.eu-west-1.internal", variant)), text("k8s.namespace.name", "shop"),
		text("k8s.pod.name", fmt.Sprintf("%s-7d9f8b6c5d-%05d", names[service], variant)),
	}}
}

func span(i, variant int) *tracepb.Span {
	operations := []string{"GET /api/cart/{id}", "POST /api/checkout", "SELECT inventory.items", "predict", "GET /api/products"}
	s := &tracepb.Span{
		TraceId: placeholder(1, i, 16), SpanId: placeholder(2, i, 8),
		Name: operations[i%len(operations)], Kind: tracepb.Span_SpanKind(1 + i%5), //nolint:gosec // small
		StartTimeUnixNano: binary.LittleEndian.Uint64(placeholder(3, i, 8)),
		EndTimeUnixNano:   binary.LittleEndian.Uint64(placeholder(4, i, 8)),
		Attributes: []*commonpb.KeyValue{
			text("http.request.method", "GET"), text("url.path", fmt.Sprintf("/api/products/%d", 1000+(i*37+variant*1009)%9000)),
			text("server.address", "shop.example.com"), number("server.port", 443),
			number("http.response.status_code", int64(200+100*(i%3))), text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
			text("client.address", fmt.Sprintf("10.%d.%d.%d", variant, i%256, (i*13)%256)), text("network.protocol.version", "2"),
			text("enduser.id", fmt.Sprintf("user-%06d", (i*104729+variant*7919)%1000000)), number("http.response.body.size", int64(512+i*31)),
		},
		Status: &tracepb.Status{},
	}
	if i%spansPerTrace != 0 {
		s.ParentSpanId = placeholder(2, i-1, 8)
	}
	if i%25 == 0 {
		s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "upstream answered 503"}
	}
	return s
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}
