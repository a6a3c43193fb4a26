package mesh_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// The mesh keeps its promises on every broker, chosen by nothing but the URL.
// Here it is the all-in-one with a broker that it does not bring itself, and
// with producers that bypass the gateway.
func TestEveryBrokerCarriesTheWholeMesh(t *testing.T) {
	t.Parallel()
	for _, name := range mesh.Brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := mesh.StartBroker(t, name)
			m := mesh.Start(t, "--broker.url", broker.URL(), "--auth.bootstrap-password", adminPassword, "--log.level", "info")
			require.Contains(t, m.Log(), "broker="+name, "it runs on another broker")
			t.Run("traces in and out", func(t *testing.T) { requireTraces(t, m.Addresses) })
			t.Run("records to alert", func(t *testing.T) { requireAlert(t, m.Addresses, m.Log) })
			t.Run("every hop", func(t *testing.T) { requireEveryHop(t, m.Addresses) })
			t.Run("large requests", func(t *testing.T) { requireLargeRequests(t, m.Addresses) })
			for _, signal := range []string{"spans", "records"} {
				account := m.Settled(t, signal)
				require.Zero(t, account.GetDeadLettered(), "%v", account)
				require.Empty(t, account.GetRejected(), "%v", account)
			}
			t.Run("inbox", func(t *testing.T) { requireInbox(t, m, broker, name) }) // which leaves dead letters
			m.Stop()
		})
	}
}

// requireTraces sends a trace over gRPC and one over HTTP and requires them
// back, equal, from the query API and from Jaeger's.
func requireTraces(t *testing.T, m mesh.Addresses) {
	t.Helper()
	client := coltracepb.NewTraceServiceClient(m.Dial(t, m.OTLPGRPC))
	for _, send := range []func(*coltracepb.ExportTraceServiceRequest){
		func(r *coltracepb.ExportTraceServiceRequest) {
			answer, err := client.Export(t.Context(), r)
			require.NoError(t, err)
			require.Nil(t, answer.GetPartialSuccess())
		},
		func(r *coltracepb.ExportTraceServiceRequest) {
			require.Equal(t, http.StatusOK, m.Post(t, m.OTLPHTTP, "/v1/traces", r))
		},
	} {
		sent := fewSpans("shop", 5, 100)
		send(sent)
		want := sent.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()
		id := hex.EncodeToString(want[0].GetTraceId())
		var got []*tracepb.Span
		mesh.Await(t, 20*time.Second, func() error {
			if got = getTrace(t, m, "", id); len(got) != len(want) {
				return fmt.Errorf("trace %s has %d spans, not %d", id, len(got), len(want))
			}
			return nil
		})
		requireSameSpans(t, want, got)
		var jaeger struct{ Data []struct{ Spans []any } }
		require.Equal(t, http.StatusOK, m.Get(t, "/jaeger/api/traces/"+id, &jaeger))
		require.Len(t, jaeger.Data, 1)
		require.Len(t, jaeger.Data[0].Spans, len(want))
	}
}

func requireSameSpans(t *testing.T, want, got []*tracepb.Span) {
	t.Helper()
	byID := map[string]*tracepb.Span{}
	for _, s := range got {
		byID[string(s.GetSpanId())] = s
	}
	for _, s := range want {
		stored := byID[string(s.GetSpanId())]
		require.True(t, proto.Equal(s, stored), "sent %v\nstored %v", s, stored)
	}
}

// fewSpans is a request of one new trace whose spans have an attribute of so
// many bytes.
func fewSpans(service string, spans, bytesEach int) *coltracepb.ExportTraceServiceRequest {
	req := oneSpan(service, 1)
	scope := req.GetResourceSpans()[0].GetScopeSpans()[0]
	first := scope.GetSpans()[0]
	scope.Spans = nil
	trace := make([]byte, 16)
	_, _ = rand.Read(trace)
	for i := range spans {
		s := proto.CloneOf(first)
		s.TraceId, s.SpanId, s.Name = trace, fmt.Appendf(nil, "%08d", i+1), fmt.Sprintf("step %d", i)
		s.Attributes = append(s.Attributes, &commonpb.KeyValue{Key: "payload", Value: &commonpb.AnyValue{
			Value: &commonpb.AnyValue_StringValue{StringValue: string(bytes.Repeat([]byte{'a' + byte(i%26)}, bytesEach))},
		}})
		scope.Spans = append(scope.Spans, s)
	}
	return req
}

// requireLargeRequests: what is larger than the broker's messages is cut, not
// refused, and every span of it is stored once. A span that is larger than any
// message is cut until it fits and says so, and its neighbour is whole.
func requireLargeRequests(t *testing.T, m mesh.Addresses) {
	t.Helper()
	const kib, mib = 1 << 10, 1 << 20
	client := coltracepb.NewTraceServiceClient(m.Dial(t, m.OTLPGRPC))
	before := m.Settled(t, "spans")
	sent := 0
	for name, size := range map[string]struct{ spans, each int }{
		"8 MiB of small spans":                          {8 * kib, kib - 120},
		"8 MiB of large spans":                          {9, mib - kib},
		"more MiB than any broker takes as one message": {18, mib - kib},
	} {
		req := fewSpans("large", size.spans, size.each)
		require.Greater(t, proto.Size(req), size.spans*size.each)
		answer, err := client.Export(t.Context(), req, grpc.UseCompressor("gzip"))
		require.NoError(t, err, name)
		require.Nil(t, answer.GetPartialSuccess(), "%s: %v", name, answer.GetPartialSuccess())
		sent += size.spans
		requireStoredSpans(t, m, name, traceOf(req), size.spans)
	}

	req := fewSpans("larger than any message", 2, 100)
	large := req.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[1]
	for i := range 20 {
		large.Attributes = append(large.Attributes, &commonpb.KeyValue{Key: fmt.Sprint(i), Value: &commonpb.AnyValue{
			Value: &commonpb.AnyValue_BytesValue{BytesValue: make([]byte, mib-kib)},
		}})
	}
	answer, err := client.Export(t.Context(), req, grpc.UseCompressor("gzip"))
	require.NoError(t, err)
	require.Zero(t, answer.GetPartialSuccess().GetRejectedSpans(), "%v", answer)
	requireStoredSpans(t, m, "larger than any message", traceOf(req), 2)
	marked := 0
	for _, s := range getTrace(t, m, "", traceOf(req)) {
		for _, kv := range s.GetAttributes() {
			if kv.GetKey() == otlp.MarkMended {
				marked++
			}
		}
	}
	require.Equal(t, 1, marked, "it says that it was cut")

	after := m.Settled(t, "spans")
	require.EqualValues(t, sent+2, after.GetStored()-before.GetStored())
	require.Equal(t, before.GetDuplicate(), after.GetDuplicate(), "stored twice")
}

func traceOf(req *coltracepb.ExportTraceServiceRequest) string {
	return hex.EncodeToString(req.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetTraceId())
}

func requireStoredSpans(t *testing.T, m mesh.Addresses, what, trace string, spans int) {
	t.Helper()
	// A large trace is too much to be asked for again and again.
	m.Settled(t, "spans")
	require.Equal(t, spans, len(getTrace(t, m, "", trace)), what) //nolint:testifylint // Len would print them all
}
