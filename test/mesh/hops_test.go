package mesh_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

func wine(t *testing.T) string {
	return filepath.Join(mesh.Root(t), "examples/wine/winequality-red.csv")
}

// getTrace is a trace as a tenant sees it: its own spans, and what the mesh did
// on its behalf.
func getTrace(t *testing.T, m mesh.Addresses, token, id string) []*tracepb.Span {
	t.Helper()
	if token != "" {
		m.Token = token
	}
	stream, err := tracev1.NewTraceServiceClient(m.Conn(t)).GetTrace(t.Context(), &tracev1.GetTraceRequest{TraceId: id},
		grpc.MaxCallRecvMsgSize(64<<20)) // a span alone can be larger than the usual limit
	require.NoError(t, err)
	var spans []*tracepb.Span
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) || status.Code(err) == codes.NotFound {
			return spans
		}
		require.NoError(t, err)
		var data tracepb.TracesData
		require.NoError(t, proto.Unmarshal(part.GetOtlpTraces(), &data))
		for _, rs := range data.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				spans = append(spans, ss.GetSpans()...)
			}
		}
	}
}

// Promise 5: one record with a traceparent gives one trace that names every
// hop and how long it waited in the broker. requireEveryHop sends records with
// one and requires a trace of every hop, for their tenant, which is nobody's,
// and for nobody else. It needs an administrator.
func requireEveryHop(t *testing.T, m mesh.Addresses) {
	t.Helper()
	m.MustCLI(t, "profile", "create", "--reference", wine(t), "--name", "wine")
	admin := m.Login(t, "driftmesh", "admin", adminPassword)
	m.MustCLI(t, "tenant", "create", "other", "--token", admin)
	m.MustCLI(t, "user", "create", "eve", "--tenant", "other", "--password", adminPassword, "--token", admin)
	eve := m.Login(t, "other", "eve", adminPassword)

	for name, send := range map[string]func(t *testing.T, traceparent string){
		"in the record": func(t *testing.T, traceparent string) {
			publish(t, m, traceparent, "")
		},
		"in the call's metadata": func(t *testing.T, traceparent string) {
			publish(t, m, "", traceparent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.Repeat(map[bool]string{true: "a1", false: "b2"}[name == "in the record"], 16)
			send(t, "00-"+id+"-00f067aa0ba902b7-01")
			want := []string{"accept records", "send records", "dwell records", "process records", "store observations", "dwell windows", "process windows"}
			var spans []*tracepb.Span
			mesh.Await(t, 30*time.Second, func() error {
				spans = getTrace(t, m, "", id)
				names := spanNames(spans)
				for _, w := range want {
					if !names[w] {
						return fmt.Errorf("no span %q among %v", w, names)
					}
				}
				return nil
			})
			requireOneTree(t, spans, "00f067aa0ba902b7")
			require.Empty(t, getTrace(t, m, eve, id), "another tenant sees the hops")
			require.NotEmpty(t, getTrace(t, m, admin, id), "the mesh's own tenant has them")
		})
	}
}

func publish(t *testing.T, m mesh.Addresses, inRecord, inCall string) {
	t.Helper()
	ctx := t.Context()
	if inCall != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", inCall)
	}
	answer, err := ingestv1.NewIngestServiceClient(m.Conn(t)).PublishRecords(ctx, &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{{
		Profile: "default/wine", Traceparent: inRecord,
		Body: &ingestv1.Record_Features{Features: &ingestv1.Features{Values: []*ingestv1.Feature{
			{Name: "alcohol", Value: &ingestv1.Feature_Float{Float: 9.4}},
		}}},
	}}})
	require.NoError(t, err)
	require.EqualValues(t, 1, answer.GetAccepted(), answer)
}

func spanNames(spans []*tracepb.Span) map[string]bool {
	names := map[string]bool{}
	for _, s := range spans {
		names[s.GetName()] = true
	}
	return names
}

// requireOneTree: every span hangs on another of the trace, in the end on the
// caller's, and the dwell times are measured.
func requireOneTree(t *testing.T, spans []*tracepb.Span, caller string) {
	t.Helper()
	known := map[string]bool{caller: true}
	for _, s := range spans {
		known[hex.EncodeToString(s.GetSpanId())] = true
	}
	for _, s := range spans {
		require.True(t, known[hex.EncodeToString(s.GetParentSpanId())], "%s hangs on nothing", s.GetName())
		if strings.HasPrefix(s.GetName(), "dwell ") {
			require.Greater(t, attribute(s, "driftmesh.broker.dwell").GetDoubleValue(), 0.0)
		}
	}
}

func attribute(s *tracepb.Span, key string) *commonpb.AnyValue {
	for _, kv := range s.GetAttributes() {
		if kv.GetKey() == key {
			return kv.GetValue()
		}
	}
	return nil
}
