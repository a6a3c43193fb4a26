package mesh_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// A trace leads to the records that were sent in it, a record to its trace, by
// REST and on the command line, and no tenant to another's.
func requireTracesAndRecords(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	lines := []string{"amount"}
	for i := range 70 {
		lines = append(lines, strconv.Itoa(i%7))
	}
	path := filepath.Join(t.TempDir(), "reference.csv")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	m.MustCLI(t, "profile", "create", "--reference", path, "--name", "joined", "--features", "amount")

	traceID, spanID := trace.TraceID([]byte("a joined trace 1")), trace.SpanID([]byte("joined 1"))
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled}))
	now := uint64(time.Now().UnixNano()) //nolint:gosec // after 1970
	_, err := coltracepb.NewTraceServiceClient(m.Dial(t, m.OTLPGRPC)).Export(ctx, &coltracepb.ExportTraceServiceRequest{
		ResourceSpans: []*tracepb.ResourceSpans{{Resource: &resourcepb.Resource{}, ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
			{TraceId: traceID[:], SpanId: spanID[:], Name: "the joined span", StartTimeUnixNano: now, EndTimeUnixNano: now + 1},
		}}}}},
	})
	require.NoError(t, err)
	client, err := sdk.New(m.GRPC, sdk.WithToken(m.Token))
	require.NoError(t, err)
	require.NoError(t, client.Publish(ctx, sdk.Features("default/joined", sdk.Int("amount", 3)).WithID("r 1"),
		sdk.Features("default/joined", sdk.Int("amount", 4)).WithID("r 2")))
	require.NoError(t, client.Publish(t.Context(), sdk.Features("default/joined", sdk.Int("amount", 5)).WithID("alone")))
	require.NoError(t, client.Shutdown(t.Context()))

	var got recordv1.ListRecordsResponse
	records := func(m *mesh.Mesh, args ...string) []string {
		t.Helper()
		var ids []string
		got.Reset()
		require.NoError(t, protojson.Unmarshal([]byte(m.MustCLI(t, append([]string{"records", "list", "-o", "json"}, args...)...)), &got))
		for _, r := range got.GetRecords() {
			ids = append(ids, r.GetRecord().GetId())
		}
		return ids
	}
	mesh.Await(t, time.Minute, func() error {
		if ids := records(m, "--trace", traceID.String()); len(ids) != 2 {
			return fmt.Errorf("the trace has the records %v", ids)
		}
		return nil
	})
	sum := int64(0)
	for _, r := range got.GetRecords() {
		sum += r.GetRecord().GetFeatures().GetValues()[0].GetInt()
	}
	require.EqualValues(t, 7, sum)
	require.Equal(t, []string{"r 1"}, records(m, "--profile", "default/joined", "--record", "r 1"))
	require.Equal(t, traceID.String(), got.GetRecords()[0].GetTraceId())
	require.Equal(t, "default/joined/0.1.0", got.GetRecords()[0].GetProfileName())
	require.Len(t, records(m, "--trace", traceID.String(), "--limit", "1"), 1)
	require.Len(t, records(m, "--trace", traceID.String(), "--page-token", got.GetNextPageToken()), 1)
	var answer struct{ Records []map[string]any }
	require.Equal(t, http.StatusOK, m.Get(t, "/api/v1/records?trace_id="+traceID.String(), &answer))
	require.Len(t, answer.Records, 2)

	// The span is stored by another worker than the records are.
	mesh.Await(t, time.Minute, func() error {
		out, err := m.CLI(t, "traces", "show", "--record", "r 1", "--profile", "default/joined", "--records")
		if err != nil || !strings.Contains(out, "the joined span") {
			return fmt.Errorf("%w: %s", err, out)
		}
		require.Contains(t, out, "record: default/joined/0.1.0 r 1 features: amount=3")
		require.Contains(t, out, "record: default/joined/0.1.0 r 2 features: amount=4")
		return nil
	})
	out, err := m.CLI(t, "traces", "show", "--record", "alone", "--profile", "default/joined")
	require.Error(t, err)
	require.Contains(t, out, "was sent outside any trace")

	nobody := *m
	nobody.Token = ""
	other := nobody.Tenant(t, "traces-and-no-records")
	require.Empty(t, records(other, "--trace", traceID.String()))
	out, err = other.CLI(t, "records", "list", "--profile", "default/joined", "--record", "r 1")
	require.Error(t, err)
	require.NotContains(t, out, traceID.String())
}
