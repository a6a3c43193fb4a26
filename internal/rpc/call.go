package rpc

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/driftmesh/driftmesh/internal/policy"
)

// Types of methods, as the label grpc_type has them.
const (
	Unary        = "unary"
	ClientStream = "client_stream"
	ServerStream = "server_stream"
	BidiStream   = "bidi_stream"
)

// Method is what is counted of one method of a server: each of its series is
// looked up once, and is there, at 0, before the first call.
type Method struct {
	name                    string            // as gRPC has it: /service/method
	permission              policy.Permission // what callers need
	started, received, sent prometheus.Counter
	handled                 [codes.Unauthenticated + 1]prometheus.Counter
	handling                prometheus.Observer // nil when off
}

// Method is for servers with handlers of their own; those of NewServer count by
// themselves. full is the name as gRPC has it. Names that callers make up must
// not get here: each is two dozen series. Their name is "".
func (m *Metrics) Method(kind, full string) *Method {
	service, name, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if !ok {
		service, name = "unknown", "unknown"
	}
	method := &Method{
		name: full, permission: policy.MethodOf(full).Permission, started: m.started.WithLabelValues(kind, service, name),
		received: m.received.WithLabelValues(kind, service, name), sent: m.sent.WithLabelValues(kind, service, name),
	}
	for code := range method.handled {
		method.handled[code] = m.handled.WithLabelValues(kind, service, name, codes.Code(code).String())
	}
	if m.handling != nil {
		method.handling = m.handling.WithLabelValues(kind, service, name)
	}
	return method
}

// Call is one call in hand.
type Call struct {
	*Method
	begun time.Time
}

// Begin counts a call that arrived.
func (m *Method) Begin() Call {
	m.started.Inc()
	return Call{Method: m, begun: time.Now()}
}

// Received counts a message that was decoded.
func (c Call) Received() { c.received.Inc() }

// Sent counts a message that was sent.
func (c Call) Sent() { c.sent.Inc() }

// End counts the answer; in is the trace that the call belongs to, if that is
// kept.
func (c Call) End(code codes.Code, in trace.SpanContext) {
	if int(code) >= len(c.handled) {
		code = codes.Unknown
	}
	seconds := time.Since(c.begun).Seconds()
	if !in.IsSampled() {
		c.handled[code].Inc()
		if c.handling != nil {
			c.handling.Observe(seconds)
		}
		return
	}
	exemplar := prometheus.Labels{"trace_id": in.TraceID().String()}
	if handled, ok := c.handled[code].(prometheus.ExemplarAdder); ok {
		handled.AddWithExemplar(1, exemplar)
	}
	if handling, ok := c.handling.(prometheus.ExemplarObserver); ok {
		handling.ObserveWithExemplar(seconds, exemplar)
	}
}

// decoding counts the request that decode decodes.
func (c Call) decoding(decode func(any) error) func(any) error {
	return func(into any) error {
		err := decode(into)
		if err == nil {
			c.Received()
		}
		return err
	}
}

// typeOf is the type of a streaming method.
func typeOf(desc *grpc.StreamDesc) string {
	switch {
	case !desc.ServerStreams:
		return ClientStream
	case !desc.ClientStreams:
		return ServerStream
	}
	return BidiStream
}
