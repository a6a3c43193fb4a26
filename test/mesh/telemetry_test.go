package mesh_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// answers makes n spans of a service that answers with so many tokens on average,
// in the minutes from begin on.
func answersOf(service string, n int, first uint64, tokens float64, begin time.Time) *coltracepb.ExportTraceServiceRequest {
	text := func(s string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
	}
	random := rand.New(rand.NewPCG(first, 8))
	spans := make([]*tracepb.Span, n)
	for i := range spans {
		id := binary.BigEndian.AppendUint64(nil, first+uint64(i)) //nolint:gosec // a few
		at := begin.Add(time.Duration(i%5)*time.Minute + time.Duration(i)*time.Millisecond)
		spans[i] = &tracepb.Span{
			TraceId: append(append([]byte{}, id...), id...), SpanId: id, Name: []string{"answer", "health"}[i%2], Kind: tracepb.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: uint64(at.UnixNano()), EndTimeUnixNano: uint64(at.Add(time.Duration(1+random.IntN(100)) * time.Millisecond).UnixNano()),
			Attributes: []*commonpb.KeyValue{
				{Key: "gen_ai.usage.output_tokens", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(tokens + 40*random.NormFloat64())}}},
				{Key: "gen_ai.request.model", Value: text([]string{"small", "large"}[random.IntN(2)])},
			},
		}
	}
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text(service)}}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}}}
}

// A service that only traces is watched for drift: the reference is made of the
// spans of before, the alert names the traces of now, and no record is sent.
func requireDriftOfTelemetry(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	client := coltracepb.NewTraceServiceClient(m.Dial(t, m.OTLPGRPC))
	export := func(req *coltracepb.ExportTraceServiceRequest) {
		t.Helper()
		_, err := client.Export(t.Context(), req)
		require.NoError(t, err)
	}
	before := time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Minute)
	begin := before.Add(2 * time.Hour)
	export(answersOf("agent", 1000, 1, 300, before))
	export(answersOf("other", 500, 5000, 900, before))
	mesh.Await(t, time.Minute, func() error {
		if out := m.MustCLI(t, "sql", "-o", "csv", "SELECT count() AS n FROM otel_traces"); strings.Fields(out)[1] != "1500" {
			return fmt.Errorf("%s of 1500 spans are stored", out)
		}
		return nil
	})
	m.MustCLI(t, "profile", "create", "--name", "answers", "--spans-of", "agent", "--operation", "answer", "--detector", "psi",
		"--features", "duration_ms,error,gen_ai.usage.output_tokens,gen_ai.request.model")

	export(answersOf("agent", 400, 20_000, 300, begin))
	for _, s := range evaluated(t, m.Addresses, "default/answers", begin, 200).GetScores() {
		require.Equal(t, "VERDICT_OK", s.GetVerdict().String(), "%s: %v", s.GetFeature(), s)
		require.EqualValues(t, 500, s.GetReference())
	}
	export(answersOf("agent", 400, 30_000, 420, begin)) // late, and longer
	evaluated(t, m.Addresses, "default/answers", begin, 400)
	m.MustCLI(t, "drift", "run", "default/answers", "--alert", "--start", begin.Format(time.RFC3339), "--end", begin.Add(time.Hour).Format(time.RFC3339))
	var list struct {
		Alerts []struct {
			ExemplarTraceIDs []string `json:"exemplar_trace_ids"`
			Moved            []struct{ Feature string }
		}
	}
	m.JSON(t, &list, "alerts", "list", "--open")
	require.Len(t, list.Alerts, 1)
	require.Len(t, list.Alerts[0].Moved, 1)
	require.Equal(t, "gen_ai.usage.output_tokens", list.Alerts[0].Moved[0].Feature)
	require.NotEmpty(t, list.Alerts[0].ExemplarTraceIDs)
	for _, id := range list.Alerts[0].ExemplarTraceIDs {
		require.Contains(t, m.MustCLI(t, "traces", "show", id), "answer  agent server")
	}
	require.Equal(t, map[string]uint64{"user:drift-of-telemetry/ann features": 400},
		senders(t, m, "--profile", "default/answers", "--start", begin.Format(time.RFC3339), "--end", begin.Add(time.Hour).Format(time.RFC3339)))
}
