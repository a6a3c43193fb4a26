package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// What is sent is what Result claims: valid, with the promised ids, each once.
func TestBodyIsAValidRequestWithThePromisedIDs(t *testing.T) {
	b := newBody()
	seen := map[string]bool{}
	for n := range 20 {
		raw := b.fill(7, n, time.Now())
		require.InDelta(t, 47_500, len(raw), 12_000)
		var r coltracepb.ExportTraceServiceRequest
		require.NoError(t, proto.Unmarshal(raw, &r))
		spans := map[string]string{}
		for _, rs := range r.GetResourceSpans() {
			require.Len(t, rs.GetResource().GetAttributes(), 10)
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					require.Len(t, s.GetAttributes(), 10)
					require.Greater(t, s.GetEndTimeUnixNano(), s.GetStartTimeUnixNano())
					spans[string(s.GetSpanId())] = string(s.GetTraceId())
				}
			}
		}
		require.Len(t, spans, SpansPerRequest)
		for i := range SpansPerRequest {
			span, trace := SpanID(7, n, i), TraceID(7, n, i/spansPerTrace)
			require.Equal(t, string(trace[:]), spans[string(span[:])])
			require.False(t, seen[string(span[:])])
			seen[string(span[:])] = true
		}
	}
}

func BenchmarkFill(b *testing.B) {
	body := newBody()
	for n := 0; b.Loop(); n++ {
		body.fill(1, n, time.Now())
	}
}
