package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// TestEveryDoorNamesItsRequests: what a caller calls its request comes back, in the
// answer and in an error's details; who calls it nothing, or something that is no
// name, is told one.
func TestEveryDoorNamesItsRequests(t *testing.T) {
	t.Parallel()
	w := start(t)
	native, otlp := w.conn(), w.dial(w.otlpGRPC)
	for name, call := range map[string]func(context.Context, ...grpc.CallOption) error{
		"here": func(ctx context.Context, opts ...grpc.CallOption) error {
			_, err := ingestv1.NewIngestServiceClient(native).PublishRecords(ctx, &ingestv1.PublishRecordsRequest{}, opts...)
			return err
		},
		"behind the gateway": func(ctx context.Context, opts ...grpc.CallOption) error {
			_, err := tracev1.NewTraceServiceClient(native).ListServices(ctx, &tracev1.ListServicesRequest{}, opts...)
			return err
		},
		"a stream": func(ctx context.Context, opts ...grpc.CallOption) error {
			s, err := ingestv1.NewIngestServiceClient(native).StreamRecords(ctx, opts...)
			require.NoError(t, err)
			_, err = s.CloseAndRecv()
			return err
		},
		"OTLP": func(ctx context.Context, opts ...grpc.CallOption) error {
			_, err := collectorpb.NewTraceServiceClient(otlp).Export(ctx, &collectorpb.ExportTraceServiceRequest{}, opts...)
			return err
		},
	} {
		for _, row := range []struct {
			sent    string
			refused bool
		}{{"my-request:1", false}, {"my-request:2", true}, {"", false}, {"", true}, {strings.Repeat("x", 200), true}, {"a b", false}} {
			ctx := as(t, "acme")
			if row.refused {
				ctx = t.Context()
			}
			if row.sent != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", row.sent)
			}
			var trailer metadata.MD
			err := call(ctx, grpc.Trailer(&trailer))
			require.Equal(t, row.refused, err != nil, "%s: %v", name, err)
			require.Len(t, trailer.Get("x-request-id"), 1, name)
			told := trailer.Get("x-request-id")[0]
			requireName(t, row.sent, told)
			if !row.refused {
				continue
			}
			var inDetails []string
			for _, detail := range status.Convert(err).Details() {
				if info, ok := detail.(*errdetails.RequestInfo); ok {
					inDetails = append(inDetails, info.GetRequestId())
				}
			}
			require.Equal(t, []string{told}, inDetails, name)
		}
	}
}

func requireName(t *testing.T, sent, told string) {
	t.Helper()
	if strings.HasPrefix(sent, "my-request") {
		require.Equal(t, sent, told)
		return
	}
	require.Len(t, told, 26)
}

// TestHTTPDoorsNameTheirRequests is the same over HTTP.
func TestHTTPDoorsNameTheirRequests(t *testing.T) {
	t.Parallel()
	w := start(t)
	good := []string{"Authorization", "Bearer " + token("acme", nil)}
	for _, row := range []struct{ verb, url, body string }{
		{http.MethodGet, w.http + "/api/v1/services", ""}, {http.MethodGet, w.http + "/jaeger/api/services", ""},
		{http.MethodGet, "http://" + w.jaeger + "/api/services", ""}, {http.MethodPost, w.otlpHTTP + "/v1/traces", "{}"},
		{http.MethodPost, w.otlpHTTP + "/v1/metrics", "{}"}, {http.MethodGet, w.http + "/nothing/here", ""},
	} {
		for _, sent := range []string{"my-request:3", "", "a\tb"} {
			for _, credentials := range [][]string{good, nil} {
				head := credentials
				if sent != "" {
					head = append([]string{"X-Request-Id", sent}, head...)
				}
				code, answer, raw := w.request(row.verb, row.url, row.body, head...)
				told := answer.Get("X-Request-Id")
				requireName(t, sent, told)
				if code == http.StatusUnauthorized && !strings.Contains(row.url, "/api/services") { // Jaeger's errors have a form of their own
					require.Contains(t, string(raw), told, row.url)
				}
			}
		}
	}
	// The error of a service behind the gateway is of the same request.
	code, head, raw := w.request(http.MethodGet, w.http+"/api/v1/profiles/none", "", append([]string{"X-Request-Id", "my-request:4"}, good...)...)
	require.Equal(t, http.StatusNotFound, code, string(raw))
	require.Equal(t, "my-request:4", head.Get("X-Request-Id"))
	var problem struct{ Details []map[string]any }
	require.NoError(t, json.Unmarshal(raw, &problem))
	require.Contains(t, problem.Details, map[string]any{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "my-request:4"})
	require.Len(t, strings.Split(string(raw), "RequestInfo"), 2, "it is said once")
}

// TestSpansHaveTheNameOfTheirRequest looks at both ends of a call.
func TestSpansHaveTheNameOfTheirRequest(t *testing.T) {
	t.Parallel()
	w := start(t)
	ctx := metadata.AppendToOutgoingContext(as(t, "acme"), "traceparent", sampledParent, "x-request-id", "my-request:5")
	_, err := driftv1.NewDriftServiceClient(w.conn()).ListAlerts(ctx, &driftv1.ListAlertsRequest{})
	require.NoError(t, err)
	_, err = collectorpb.NewTraceServiceClient(w.dial(w.otlpGRPC)).Export(ctx, &collectorpb.ExportTraceServiceRequest{})
	require.NoError(t, err)
	named := 0
	for _, span := range w.spans.GetSpans() {
		for _, kv := range span.Attributes {
			if string(kv.Key) == "driftmesh.request.id" && kv.Value.AsString() == "my-request:5" {
				named++
			}
		}
	}
	require.Equal(t, 2, named)
}
