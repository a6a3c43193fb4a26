package jaeger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/policy"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/jaeger"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is the tests' clock: 2026-01-02T03:04:05Z.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// store is a trace store in memory.
type store struct {
	tracev1.TraceServiceClient // panics where a test has no business
	services                   []string
	operations                 []*tracev1.Operation
	parts                      []*tracev1.FindTracesResponse
	summaries                  *tracev1.SearchTracesResponse
	dependencies               []*tracev1.Dependency
	measures                   *tracev1.MeasureServicesResponse
	err                        error // after the parts

	found  *tracev1.FindTracesRequest
	got    []*tracev1.GetTraceRequest
	listed *tracev1.ListOperationsRequest
	asked  *tracev1.ListDependenciesRequest
	search *tracev1.SearchTracesRequest

	measured *tracev1.MeasureServicesRequest
}

func (s *store) ListServices(context.Context, *tracev1.ListServicesRequest, ...grpc.CallOption) (*tracev1.ListServicesResponse, error) {
	return &tracev1.ListServicesResponse{Services: s.services}, s.err
}

func (s *store) ListOperations(_ context.Context, req *tracev1.ListOperationsRequest, _ ...grpc.CallOption) (*tracev1.ListOperationsResponse, error) {
	s.listed = req
	return &tracev1.ListOperationsResponse{Operations: s.operations}, s.err
}

func (s *store) ListDependencies(_ context.Context, req *tracev1.ListDependenciesRequest, _ ...grpc.CallOption) (*tracev1.ListDependenciesResponse, error) {
	s.asked = req
	return &tracev1.ListDependenciesResponse{Dependencies: s.dependencies}, s.err
}

func (s *store) SearchTraces(_ context.Context, req *tracev1.SearchTracesRequest, _ ...grpc.CallOption) (*tracev1.SearchTracesResponse, error) {
	s.search = req
	return s.summaries, s.err
}

func (s *store) MeasureServices(_ context.Context, req *tracev1.MeasureServicesRequest, _ ...grpc.CallOption) (*tracev1.MeasureServicesResponse, error) {
	s.measured = req
	return s.measures, s.err
}

// stream gives its items, then its error or the end.
type stream[M any] struct {
	grpc.ClientStream
	items []*M
	err   error
}

func (s *stream[M]) Recv() (*M, error) {
	if len(s.items) == 0 {
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	}
	m := s.items[0]
	s.items = s.items[1:]
	return m, nil
}

func (s *store) FindTraces(_ context.Context, req *tracev1.FindTracesRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[tracev1.FindTracesResponse], error) {
	s.found = req
	return &stream[tracev1.FindTracesResponse]{items: s.parts, err: s.err}, nil
}

func (s *store) GetTrace(_ context.Context, req *tracev1.GetTraceRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[tracev1.GetTraceResponse], error) {
	s.got = append(s.got, req)
	out := &stream[tracev1.GetTraceResponse]{err: s.err}
	for _, p := range s.parts {
		if p.GetTraceId() == req.GetTraceId() {
			out.items = append(out.items, &tracev1.GetTraceResponse{OtlpTraces: p.GetOtlpTraces(), Truncated: p.GetTruncated()})
		}
	}
	if len(out.items) == 0 && out.err == nil {
		out.err = fault.NotFound.New("no span of this trace is stored")
	}
	return out, nil
}

func (s *store) get(t *testing.T, path string) (int, []byte) {
	t.Helper()
	return s.do(t, http.MethodGet, path, nil)
}

func (s *store) handler() http.Handler {
	return jaeger.New(jaeger.Config{Now: func() time.Time { return now }}, s, slog.New(slog.DiscardHandler))
}

func (s *store) do(t *testing.T, method, path string, body []byte) (int, []byte) {
	t.Helper()
	rec := httptest.NewRecorder()
	s.handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(body)))
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"), path)
	require.True(t, json.Valid(rec.Body.Bytes()), rec.Body.String())
	return rec.Code, rec.Body.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, got, "", "  "))
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, pretty.Bytes(), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), pretty.String())
}

func str(key, v string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
}

func val(key string, v any) *commonpb.KeyValue {
	kv := &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{}}
	switch x := v.(type) {
	case int:
		kv.Value.Value = &commonpb.AnyValue_IntValue{IntValue: int64(x)}
	case float64:
		kv.Value.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: x}
	case bool:
		kv.Value.Value = &commonpb.AnyValue_BoolValue{BoolValue: x}
	case []byte:
		kv.Value.Value = &commonpb.AnyValue_BytesValue{BytesValue: x}
	case []*commonpb.KeyValue:
		kv.Value.Value = &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: x}}
	case []*commonpb.AnyValue:
		kv.Value.Value = &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: x}}
	}
	return kv
}

const fullTrace = "5b8efff798038103d269b633813fc60c"

var traceID = []byte{0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c}

// full is a trace that has everything a trace can have.
func full(t *testing.T) []byte {
	t.Helper()
	const t0 = 1_767_322_000_000_000_000
	everything := []*commonpb.KeyValue{
		str("http.route", "/a<b>&c"), val("int", 42), val("big", 1<<53), val("negative", -(1 << 53)), val("float", 0.25),
		val("bool", true), val("bytes", []byte{1, 2, 255}), {Key: "empty", Value: &commonpb.AnyValue{}},
		val("list", []*commonpb.AnyValue{val("", 1).GetValue(), str("", "two").GetValue(), val("", []byte{3}).GetValue(), nil}),
		val("map", []*commonpb.KeyValue{val("b", 2.5), str("a", "<x>")}),
	}
	return marshal(t, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{
		{
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("service.name", "shop"), str("host.name", "h1"), val("process.pid", 7)}},
			ScopeSpans: []*tracepb.ScopeSpans{{
				Scope: &commonpb.InstrumentationScope{Name: "lib", Version: "1.2"},
				Spans: []*tracepb.Span{
					{
						TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 0, 1}, Name: "GET /", Kind: tracepb.Span_SPAN_KIND_SERVER,
						StartTimeUnixNano: t0, EndTimeUnixNano: t0 + 1_234_567, Flags: 0x101, TraceState: "a=1,b=2", Attributes: everything,
						Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "it broke"},
						Events: []*tracepb.Span_Event{
							{TimeUnixNano: t0 + 1000, Name: "exception", Attributes: []*commonpb.KeyValue{str("exception.type", "Oops")}},
							{TimeUnixNano: t0 + 2000, Name: "hidden", Attributes: []*commonpb.KeyValue{str("event", "shown")}},
							{TimeUnixNano: t0 + 3000},
						},
						Links: []*tracepb.Span_Link{{TraceId: bytes.Repeat([]byte{9}, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, 8}}},
					},
					{
						TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 0, 2}, ParentSpanId: []byte{0, 0, 0, 0, 0, 0, 0, 1}, Name: "SELECT",
						Kind: tracepb.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: t0 + 10_000, EndTimeUnixNano: t0 + 20_999,
						Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK},
						Links: []*tracepb.Span_Link{
							{TraceId: bytes.Repeat([]byte{9}, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Attributes: []*commonpb.KeyValue{str("opentracing.ref_type", "child_of")}},
						},
					},
				},
			}},
		},
		{
			Resource: &resourcepb.Resource{},
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
				TraceId: traceID, SpanId: []byte{0xff, 0, 0, 0, 0, 0, 0, 3}, ParentSpanId: []byte{0, 0, 0, 0, 0, 0, 0, 2}, Name: "consume",
				Kind: tracepb.Span_SPAN_KIND_CONSUMER, StartTimeUnixNano: t0 + 30_000, EndTimeUnixNano: t0 + 29_000,
				Links:      []*tracepb.Span_Link{{TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 0, 2}}},
				Attributes: []*commonpb.KeyValue{val("@jaeger@warnings", []*commonpb.AnyValue{str("", "clock skew").GetValue()})},
			}}}},
		},
		{ // the first process again
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("service.name", "shop"), str("host.name", "h1"), val("process.pid", 7)}},
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
				TraceId: traceID, SpanId: []byte{0, 0, 0, 0, 0, 0, 0, 4}, Name: "bare", StartTimeUnixNano: t0 + 40_000, EndTimeUnixNano: t0 + 41_000,
			}}}},
		},
	}})
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	require.NoError(t, err)
	return raw
}

// bare is a trace of one span.
func bare(t *testing.T, id []byte, service string) []byte {
	t.Helper()
	return marshal(t, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("service.name", service)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{TraceId: id, SpanId: []byte{1, 1, 1, 1, 1, 1, 1, 1}, Name: "op"}}}},
	}}})
}

func TestGoldenTrace(t *testing.T) {
	t.Parallel()
	s := &store{parts: []*tracev1.FindTracesResponse{{TraceId: fullTrace, OtlpTraces: full(t)}}}
	code, body := s.get(t, "/api/traces/"+fullTrace)
	require.Equal(t, http.StatusOK, code)
	golden(t, "trace.json", body)
	code, body = s.get(t, "/api/v3/traces/"+fullTrace)
	require.Equal(t, http.StatusOK, code)
	golden(t, "trace_v3.json", body)
}

func TestGoldenSearch(t *testing.T) {
	t.Parallel()
	short := append(make([]byte, 8), 0, 0, 0, 0, 0, 0, 0, 7)
	s := &store{parts: []*tracev1.FindTracesResponse{
		{TraceId: "a", OtlpTraces: bare(t, traceID, "shop")},
		{TraceId: "a", OtlpTraces: bare(t, traceID, "bank"), Truncated: true},
		{TraceId: "b", OtlpTraces: bare(t, short, "bank")},
	}}
	code, body := s.get(t, "/api/traces?service=shop")
	require.Equal(t, http.StatusOK, code)
	golden(t, "search.json", body)
	code, body = s.get(t, "/api/v3/traces?query.service_name=shop&query.start_time_min=2026-01-01T00:00:00Z&query.start_time_max=2026-01-02T00:00:00Z")
	require.Equal(t, http.StatusOK, code)
	golden(t, "search_v3.json", body)
	s.summaries = &tracev1.SearchTracesResponse{NextPageToken: "x", Traces: []*tracev1.TraceSummary{
		{
			TraceId: fullTrace, RootService: "shop", RootOperation: "GET /", HasRoot: true, Spans: 21_001, Errors: 1,
			StartTime: timestamppb.New(now), Duration: durationpb.New(time.Second),
			ServiceCounts: []*tracev1.ServiceCount{{Service: "bank", Spans: 1}, {Service: "shop", Spans: 21_000, Errors: 1}},
		},
		{TraceId: "b", RootService: "bank", RootOperation: "earliest", Spans: 1, StartTime: timestamppb.New(now), Duration: durationpb.New(0)},
	}}
	code, body = s.get(t, "/api/v3/trace-summaries?query.serviceName=shop&query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z&query.searchDepth=7")
	require.Equal(t, http.StatusOK, code)
	golden(t, "summaries_v3.json", body)
	require.EqualValues(t, 7, s.search.GetPageSize())
	require.Equal(t, "shop", s.search.GetQuery().GetService())
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := &store{services: []string{"bank", "shop"}, operations: []*tracev1.Operation{
		{Name: "a", SpanKind: "client"}, {Name: "a", SpanKind: "server"}, {Name: "b", SpanKind: "unspecified"},
	}}
	s.dependencies = []*tracev1.Dependency{{Parent: "shop", Child: "bank", Calls: 7}}
	empty := &store{}
	tests := []struct {
		s          *store
		path, want string
	}{
		{s, "/api/services", `{"data":["bank","shop"],"total":2,"limit":0,"offset":0,"errors":null}`},
		{empty, "/api/services", `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`},
		{s, "/api/services/shop/operations", `{"data":["a","b"],"total":2,"limit":0,"offset":0,"errors":null}`},
		{s, "/api/operations?service=shop&spanKind=server", `{"data":[{"name":"a","spanKind":"client"},{"name":"a","spanKind":"server"},{"name":"b","spanKind":""}],"total":3,"limit":0,"offset":0,"errors":null}`},
		{empty, "/api/dependencies?endTs=1767322000000&lookback=3600000", `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`},
		{s, "/api/dependencies?endTs=1767322000000&lookback=3600000", `{"data":[{"parent":"shop","child":"bank","callCount":7}],"total":1,"limit":0,"offset":0,"errors":null}`},
		{s, "/api/v3/services", `{"services":["bank","shop"]}`},
		{empty, "/api/v3/services", `{"services":[]}`},
		{s, "/api/v3/operations?service=shop", `{"operations":[{"name":"a","spanKind":"client"},{"name":"a","spanKind":"server"},{"name":"b","spanKind":"internal"}]}`},
		{empty, "/api/v3/operations?service=shop&span_kind=client", `{"operations":[]}`},
		{empty, "/api/v3/trace-summaries?query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z", `{"summaries":[]}`},
		{empty, "/api/traces?service=shop", `{"data":[],"total":0,"limit":0,"offset":0,"errors":null}`},
	}
	for _, tt := range tests {
		code, body := tt.s.get(t, tt.path)
		require.Equal(t, http.StatusOK, code, tt.path)
		require.JSONEq(t, tt.want, string(body), tt.path)
	}
	require.Equal(t, "client", empty.listed.GetSpanKind())
	require.EqualValues(t, 1767322000, s.asked.GetEndTime().GetSeconds())
	require.EqualValues(t, 1767318400, s.asked.GetStartTime().GetSeconds())
	_, _ = s.get(t, "/api/services/a%2Fb%20c/operations")
	require.Equal(t, "a/b c", s.listed.GetService())
}

func TestSearchByID(t *testing.T) {
	t.Parallel()
	s := &store{parts: []*tracev1.FindTracesResponse{{TraceId: fullTrace, OtlpTraces: bare(t, traceID, "shop")}}}
	code, body := s.get(t, "/api/traces?traceID="+fullTrace+"&traceID=7")
	require.Equal(t, http.StatusOK, code)
	var answer struct {
		Data   []struct{ TraceID string }
		Errors []struct{ Msg, TraceID string }
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	require.Len(t, answer.Data, 1)
	require.Equal(t, fullTrace, answer.Data[0].TraceID)
	require.Len(t, answer.Errors, 1)
	require.Equal(t, "trace not found", answer.Errors[0].Msg)
	require.Equal(t, "0000000000000007", answer.Errors[0].TraceID)
	require.Equal(t, "00000000000000000000000000000007", s.got[1].GetTraceId())
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	code, body := (&store{}).get(t, "/api/traces/7")
	require.Equal(t, http.StatusNotFound, code)
	require.JSONEq(t, `{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}`, string(body))
	code, body = (&store{}).get(t, "/api/v3/traces/7")
	require.Equal(t, http.StatusNotFound, code)
	require.JSONEq(t, `{"error":{"grpcCode":5,"httpCode":404,"message":"trace not found","httpStatus":"Not Found"}}`, string(body))
	code, _ = (&store{}).get(t, "/api/v3/traces?query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z")
	require.Equal(t, http.StatusNotFound, code)
}

func TestTroubleIsTold(t *testing.T) {
	t.Parallel()
	away := fault.Unavailable.New("trace-store is away").WithReason("STOPPING").WithRetryAfter(1500 * time.Millisecond)
	for _, path := range []string{
		"/api/services", "/api/operations?service=a", "/api/traces?service=a", "/api/traces/7", "/api/v3/services", "/api/v3/operations", "/api/v3/traces/7",
	} {
		code, body := (&store{err: away}).get(t, path)
		require.Equal(t, http.StatusServiceUnavailable, code, path)
		require.Contains(t, string(body), "trace-store is away")
	}
	for err, want := range map[error]int{
		errors.New("dial 10.1.2.3"):                              http.StatusInternalServerError,
		fault.Unavailable.New("connection error: dial 10.1.2.3"): http.StatusServiceUnavailable,
	} {
		code, body := (&store{err: err}).get(t, "/api/services")
		require.Equal(t, want, code)
		require.NotContains(t, string(body), "10.1.2.3")
	}
	// Nor is a part of an answer a good one: it becomes the error, or, when too
	// much of it has been sent, ends without an end.
	const v3 = "/api/v3/traces?query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z"
	s := &store{parts: []*tracev1.FindTracesResponse{{TraceId: "a", OtlpTraces: bare(t, traceID, "shop")}}, err: away}
	for _, path := range []string{"/api/traces?service=shop", v3} {
		code, body := s.get(t, path)
		require.Equal(t, http.StatusServiceUnavailable, code, path)
		require.NotContains(t, string(body), "shop", path)
	}
	for i := range 4 {
		s.parts = append(s.parts, &tracev1.FindTracesResponse{TraceId: string(rune('b' + i)), OtlpTraces: bare(t, traceID, strings.Repeat("s", 1<<20))})
	}
	server := httptest.NewServer(s.handler())
	defer server.Close()
	for _, path := range []string{"/api/traces?service=shop", v3} {
		resp, err := http.Get(server.URL + path)
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.Error(t, err, "a whole answer that is not whole: %s", path)
		_ = resp.Body.Close()
	}
}

// What is odd about a span is said with it, and what shares its id has another
// in the answer, as in Jaeger.
func TestOdditiesAreWarnings(t *testing.T) {
	t.Parallel()
	id := func(n byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, n} }
	of := func(service string, spans ...*tracepb.Span) *tracepb.ResourceSpans {
		return &tracepb.ResourceSpans{
			Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("service.name", service)}},
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
		}
	}
	call := &tracepb.Span{TraceId: traceID, SpanId: id(1), Name: "call", Kind: tracepb.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 5000, EndTimeUnixNano: 9000}
	served := &tracepb.Span{TraceId: traceID, SpanId: id(1), Name: "served", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 4000, EndTimeUnixNano: 8000}
	orphan := &tracepb.Span{TraceId: traceID, SpanId: id(2), ParentSpanId: id(9), Name: "orphan", StartTimeUnixNano: 6000, EndTimeUnixNano: 7000}
	s := &store{parts: []*tracev1.FindTracesResponse{
		{TraceId: fullTrace, OtlpTraces: marshal(t, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{of("shop", call), of("bank", served)}})},
		{TraceId: fullTrace, OtlpTraces: marshal(t, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{of("shop", orphan)}})},
	}}
	code, body := s.get(t, "/api/traces/"+fullTrace)
	require.Equal(t, http.StatusOK, code)
	var answer struct {
		Data []struct {
			Spans []struct {
				SpanID, OperationName string
				References            []struct{ SpanID string }
				Warnings              []string
			}
		}
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	require.Len(t, answer.Data, 1)
	spans := answer.Data[0].Spans
	require.Len(t, spans, 3)
	require.Equal(t, "0000000000000001", spans[0].SpanID)
	require.NotEqual(t, spans[0].SpanID, spans[1].SpanID)
	require.Equal(t, spans[0].SpanID, spans[1].References[0].SpanID, "the call is the parent of what served it")
	require.Contains(t, strings.Join(spans[1].Warnings, "\n"), "clocks differ")
	require.Contains(t, strings.Join(spans[1].Warnings, "\n"), "another span has its id")
	require.Equal(t, []string{"its parent 0000000000000009 is not in the trace"}, spans[2].Warnings)
}

func TestTransform(t *testing.T) {
	t.Parallel()
	document, err := otlp.ToJSON(full(t))
	require.NoError(t, err)
	code, body := (&store{}).do(t, http.MethodPost, "/api/transform", document)
	require.Equal(t, http.StatusOK, code)
	s := &store{parts: []*tracev1.FindTracesResponse{{TraceId: fullTrace, OtlpTraces: full(t)}}}
	_, stored := s.get(t, "/api/traces/"+fullTrace)
	require.JSONEq(t, string(stored), string(body), "a file is shown as what is stored")
	code, _ = (&store{}).do(t, http.MethodPost, "/api/transform", []byte("{"))
	require.Equal(t, http.StatusBadRequest, code)
}

// TestTextThatIsNotUTF8: gRPC would not carry it, and it is the caller's fault.
func TestTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/api/services/%ff/operations", "/api/operations?service=%ff", "/api/traces?service=a&tag=%ff:b", "/api/metrics/calls?x=%zz&service=a&service=%ff",
	} {
		code, body := (&store{}).get(t, path)
		require.Equal(t, http.StatusBadRequest, code, path)
		require.JSONEq(t, `{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":400,"msg":"the path or a parameter is not UTF-8"}]}`, string(body))
	}
	code, body := (&store{}).get(t, "/api/v3/operations?service=%ff")
	require.Equal(t, http.StatusBadRequest, code)
	require.JSONEq(t, `{"error":{"grpcCode":3,"httpCode":400,"message":"the path or a parameter is not UTF-8","httpStatus":"Bad Request"}}`, string(body))
}

// A route that the policy does not know is served to nobody, and here it is named.
func TestThePolicyKnowsEveryRoute(t *testing.T) {
	h := jaeger.New(jaeger.Config{}, &store{}, slog.New(slog.DiscardHandler))
	require.NotEmpty(t, h.Patterns)
	for _, pattern := range h.Patterns {
		verb, path, _ := strings.Cut(pattern, " ")
		require.Equal(t, policy.TracesRead, policy.RouteOf(policy.Jaeger, pattern), pattern)
		require.Equal(t, policy.TracesRead, policy.RouteOf(policy.HTTP, verb+" /jaeger"+path), pattern)
	}
}
