package broker

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// propagator writes and reads traceparent, tracestate and baggage.
var propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// Carrier is message headers as a propagation.TextMapCarrier. Get falls back to
// a key that differs in case, for foreign producers.
type Carrier struct{ Headers *[]Header }

var _ propagation.TextMapCarrier = Carrier{}

// Get implements propagation.TextMapCarrier.
func (c Carrier) Get(key string) string {
	hs := *c.Headers
	for i := range hs {
		if hs[i].Key == key {
			return string(hs[i].Value)
		}
	}
	for i := range hs {
		if strings.EqualFold(hs[i].Key, key) {
			return string(hs[i].Value)
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier. It replaces the key's value.
func (c Carrier) Set(key, value string) {
	hs := *c.Headers
	for i := range hs {
		if hs[i].Key == key {
			hs[i].Value = []byte(value)
			return
		}
	}
	*c.Headers = append(hs, Header{Key: key, Value: []byte(value)})
}

// Keys implements propagation.TextMapCarrier.
func (c Carrier) Keys() []string {
	keys := make([]string, 0, len(*c.Headers))
	for _, h := range *c.Headers {
		keys = append(keys, h.Key)
	}
	return keys
}

// SpanContext is the trace context a message carries; it is not valid when
// there is none.
func SpanContext(m *Message) trace.SpanContext {
	if _, has := m.Find(HeaderTraceParent); !has {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), Carrier{&m.Headers})
	return trace.SpanContextFromContext(ctx)
}

// Extract returns ctx with the trace context and baggage of a message.
func Extract(ctx context.Context, m *Message) context.Context {
	return propagator.Extract(ctx, Carrier{&m.Headers})
}
