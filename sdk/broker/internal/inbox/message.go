package inbox

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/driftmesh/driftmesh/sdk"
)

// Message is a batch as the inbox takes it.
type Message struct {
	ID      string
	Headers map[string]string
	Body    []byte
}

// headerType says what the body is.
const headerType = "driftmesh-type"

// message puts on a batch what the inbox wants to know: what it is, whose it is,
// and the trace in which it is sent.
func (t *Transport) message(ctx context.Context, b sdk.Batch) (*Message, error) {
	m := &Message{ID: b.ID, Body: b.Body, Headers: map[string]string{headerType: string(b.Type)}}
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(m.Headers))
	if t.access == nil {
		return m, nil
	}
	access, err := t.access(ctx)
	if err != nil {
		return nil, fmt.Errorf("get credentials: %w", err)
	}
	for name, value := range access {
		if strings.ContainsAny(value, "\r\n\x00") {
			return nil, Refused(fmt.Errorf("the credentials in %s hold a line break; is the file they come from whole?", name))
		}
		m.Headers[name] = strings.TrimSpace(value)
	}
	return m, nil
}
