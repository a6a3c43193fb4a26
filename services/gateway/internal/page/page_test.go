package page_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/page"
)

// store gives its parts to whoever asks.
type store struct {
	tracev1.TraceServiceClient // panics where a test has no business
	parts                      []*tracev1.GetTraceResponse
	err                        error // after the parts
}

type stream struct {
	grpc.ClientStream
	store
}

func (s *store) GetTrace(context.Context, *tracev1.GetTraceRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[tracev1.GetTraceResponse], error) {
	return &stream{store: *s}, nil
}

func (s *stream) Recv() (*tracev1.GetTraceResponse, error) {
	if len(s.parts) == 0 {
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	}
	p := s.parts[0]
	s.parts = s.parts[1:]
	return p, nil
}

func get(t *testing.T, s *store) (int, string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET /traces/{id}", page.New(s))
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/traces/5b8efff798038103d269b633813fc60c", nil))
	require.Contains(t, rec.Header().Get("Content-Security-Policy"), "default-src 'none'")
	return rec.Code, rec.Body.String()
}

func text(key, v string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
}

func part(t *testing.T, service string, spans ...*tracepb.Span) *tracev1.GetTraceResponse {
	t.Helper()
	raw, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.name", service)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
	}}})
	require.NoError(t, err)
	return &tracev1.GetTraceResponse{OtlpTraces: raw}
}

func TestATraceIsShown(t *testing.T) {
	t.Parallel()
	const start = 1_767_322_000_000_000_000
	id := func(n byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, n} }
	child := &tracepb.Span{
		SpanId: id(2), ParentSpanId: id(1), Name: "SELECT", StartTimeUnixNano: start + 50_000_000, EndTimeUnixNano: start + 75_000_000,
		Attributes: []*commonpb.KeyValue{text("sql", "<script>alert(1)</script>")}, Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR},
	}
	root := &tracepb.Span{SpanId: id(1), Name: "GET /", StartTimeUnixNano: start, EndTimeUnixNano: start + 100_000_000}
	orphan := &tracepb.Span{SpanId: id(3), ParentSpanId: id(9), Name: "lost", StartTimeUnixNano: start, EndTimeUnixNano: start + 1}
	status, body := get(t, &store{parts: []*tracev1.GetTraceResponse{part(t, "db", child), part(t, "shop", root, orphan)}})
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "3 spans in 100ms")
	require.Less(t, strings.Index(body, "GET /"), strings.Index(body, "SELECT"), "the parent stands before its child")
	require.Contains(t, body, "left:50.00%;width:25.00%")
	require.Contains(t, body, `class="failed"`)
	require.Contains(t, body, "its parent 0000000000000009 is not in the trace")
	require.NotContains(t, body, "<script>")
	require.NotContains(t, body, "more spans")
}

// Kinds and values are in the words of package plain.
func TestAttributesAreShown(t *testing.T) {
	t.Parallel()
	list := &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{
		{Value: &commonpb.AnyValue_IntValue{IntValue: 5}}, {Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
	}}}}
	raw := &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("raw")}}
	_, body := get(t, &store{parts: []*tracev1.GetTraceResponse{part(t, "shop", &tracepb.Span{
		SpanId: []byte{1, 1, 1, 1, 1, 1, 1, 1}, Name: "buy", Kind: tracepb.Span_SPAN_KIND_CONSUMER,
		Attributes: []*commonpb.KeyValue{{Key: "list", Value: list}, {Key: "raw", Value: raw}},
	})}})
	require.Contains(t, body, "<td>consumer</td>")
	require.Contains(t, body, "<td>[5,true]</td>")
	require.Contains(t, body, "<td>cmF3</td>")
}

func TestTroubleIsShown(t *testing.T) {
	t.Parallel()
	status, body := get(t, &store{err: fault.NotFound.New("no span of this trace is stored")})
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "no span of this trace is stored")
	status, body = get(t, &store{parts: []*tracev1.GetTraceResponse{part(t, "shop", &tracepb.Span{Name: "GET /"})}, err: fault.Unavailable.New("away")})
	require.Equal(t, http.StatusServiceUnavailable, status, "a part of a trace is not the trace")
	require.NotContains(t, body, "GET /")
	cut := part(t, "shop", &tracepb.Span{SpanId: []byte{1, 1, 1, 1, 1, 1, 1, 1}, Name: "GET /"})
	cut.Truncated = true
	_, body = get(t, &store{parts: []*tracev1.GetTraceResponse{cut}})
	require.Contains(t, body, "more spans")
}
