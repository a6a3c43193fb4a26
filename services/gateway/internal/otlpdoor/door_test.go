package otlpdoor_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
)

const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
)

func TestGRPCPublishesTheSameBytes(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	req := sample(100)
	began := time.Now()
	for i, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(grpcgzip.Name)}} {
		resp, err := b.client.Export(withToken(t.Context(), "acme-token"), req, options...)
		require.NoError(t, err)
		require.Nil(t, resp.PartialSuccess)
		m := b.published.messages()[i]
		got := &collectorpb.ExportTraceServiceRequest{}
		require.NoError(t, proto.Unmarshal(m.Value, got))
		require.True(t, proto.Equal(req, got))
		require.Equal(t, event.Spans, m.Topic)
		require.NotEmpty(t, m.ID)
		stamp := envelope.Of(&m)
		require.Equal(t, "acme", stamp.Tenant)
		require.Equal(t, event.TypeTraces, stamp.Type)
		require.Equal(t, 100, stamp.Count)
		require.Equal(t, fmt.Sprintf("gw-1/1:%d", i+1), stamp.Seq)
		require.WithinRange(t, stamp.Accepted, began, time.Now())
	}
	accepted, _ := b.published.onRecord(t, "acme")
	require.Equal(t, 200, accepted)
	accepted, _ = b.published.onRecord(t, "default")
	require.Zero(t, accepted)
}

// forms are the ways a request can be sent over HTTP.
func forms(t testing.TB, req *collectorpb.ExportTraceServiceRequest) map[string]func(*bench) (*http.Response, []byte) {
	raw := encode(t, req)
	text, err := otlp.ToJSON(raw)
	require.NoError(t, err)
	return map[string]func(*bench) (*http.Response, []byte){
		"protobuf": func(b *bench) (*http.Response, []byte) { return b.post(t, typeProto, raw) },
		"json":     func(b *bench) (*http.Response, []byte) { return b.post(t, typeJSON+"; charset=utf-8", text) },
		"protobuf gzip": func(b *bench) (*http.Response, []byte) {
			return b.post(t, typeProto, packed(t, raw), "Content-Encoding", "gzip")
		},
		"json gzip": func(b *bench) (*http.Response, []byte) {
			return b.post(t, typeJSON, packed(t, text), "Content-Encoding", "gzip")
		},
	}
}

func TestHTTPStoresEveryForm(t *testing.T) {
	t.Parallel()
	req := sample(100)
	for name, send := range forms(t, req) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, otlpdoor.Config{})
			resp, body := send(b)
			require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
			if strings.HasPrefix(name, "json") {
				require.Contains(t, resp.Header.Get("Content-Type"), typeJSON)
				require.JSONEq(t, "{}", string(body))
			} else {
				require.Equal(t, typeProto, resp.Header.Get("Content-Type"))
				require.Empty(t, body)
			}
			msgs := b.published.messages()
			require.Len(t, msgs, 1)
			got := &collectorpb.ExportTraceServiceRequest{}
			require.NoError(t, proto.Unmarshal(msgs[0].Value, got))
			require.True(t, proto.Equal(req, got))
			accepted, _ := b.published.onRecord(t, "default")
			require.Equal(t, 100, accepted)
		})
	}
}

func TestEmptyRequestIsASuccess(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	resp, err := b.client.Export(t.Context(), &collectorpb.ExportTraceServiceRequest{})
	require.NoError(t, err)
	require.Nil(t, resp.PartialSuccess)
	_, err = b.client.Export(t.Context(), &collectorpb.ExportTraceServiceRequest{}, grpc.UseCompressor(grpcgzip.Name))
	require.NoError(t, err)
	for name, send := range forms(t, &collectorpb.ExportTraceServiceRequest{}) {
		resp, body := send(b)
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", name, body)
	}
	require.Empty(t, b.published.messages())
}

// spoilers are the bad spans of a request, by the reason they are refused for.
var spoilers = map[string]func(*tracepb.Span){
	"trace_id_length": func(s *tracepb.Span) { s.TraceId = s.TraceId[:8] },
	"trace_id_zero":   func(s *tracepb.Span) { s.TraceId = make([]byte, 16) },
	"span_id_length":  func(s *tracepb.Span) { s.SpanId = append(s.SpanId, 1) },
	"span_id_zero":    func(s *tracepb.Span) { s.SpanId = make([]byte, 8) },
}

func TestBadSpansAreAPartialSuccessAndNeighboursAreStored(t *testing.T) {
	t.Parallel()
	for reason, spoil := range spoilers {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := start(t, otlpdoor.Config{}, func(d *otlpdoor.Deps) { d.MaxMessage = func() int { return 0 } })
			req := sample(8)
			spoil(req.ResourceSpans[1].ScopeSpans[0].Spans[1])
			field := "resource_spans[1].scope_spans[0].spans[1]."
			resp, err := b.client.Export(t.Context(), req)
			require.NoError(t, err)
			require.EqualValues(t, 1, resp.PartialSuccess.RejectedSpans)
			require.Contains(t, resp.PartialSuccess.ErrorMessage, field)
			require.Contains(t, resp.PartialSuccess.ErrorMessage, reason)
			for name, send := range forms(t, req) {
				answer := &collectorpb.ExportTraceServiceResponse{}
				resp, body := send(b)
				require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", name, body)
				if strings.HasPrefix(name, "json") {
					require.NoError(t, protojson.Unmarshal(body, answer))
				} else {
					require.NoError(t, proto.Unmarshal(body, answer))
				}
				require.EqualValues(t, 1, answer.PartialSuccess.RejectedSpans)
				require.Contains(t, answer.PartialSuccess.ErrorMessage, field)
			}
			stored := b.published.spans(t)
			require.Len(t, stored, 7)
			require.NotContains(t, stored, "span-5")
			require.Len(t, b.published.messages(), 5)
			accepted, rejected := b.published.onRecord(t, "default")
			require.Equal(t, 5*7, accepted)
			require.Equal(t, map[string]int{reason: 5}, rejected)
		})
	}
}

// oddities are spans that break rules and are kept, by what the door mends of
// them ("" when it passes them on as they came).
var oddities = map[string]struct {
	spoil func(*tracepb.Span)
	mend  string
}{
	"end before start":  {func(s *tracepb.Span) { s.EndTimeUnixNano = s.StartTimeUnixNano - 1 }, ""},
	"no start":          {func(s *tracepb.Span) { s.StartTimeUnixNano = 0 }, ""},
	"no end":            {func(s *tracepb.Span) { s.EndTimeUnixNano = 0 }, ""},
	"ten years ago":     {func(s *tracepb.Span) { s.StartTimeUnixNano -= uint64(10 * 365 * 24 * time.Hour) }, ""},
	"beyond all clocks": {func(s *tracepb.Span) { s.StartTimeUnixNano, s.EndTimeUnixNano = 1<<64-2, 1<<64-1 }, ""},
	"an image":          {func(s *tracepb.Span) { s.Attributes = append(s.Attributes, str("big", strings.Repeat("x", 10<<20))) }, "attribute_cut"},
	"too many attributes": {func(s *tracepb.Span) {
		for range 100_000 {
			s.Attributes = append(s.Attributes, str("k", "v"))
		}
	}, "attributes_dropped"},
}

func TestOddSpansAreKeptAndMarked(t *testing.T) {
	t.Parallel()
	for name, odd := range oddities {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, otlpdoor.Config{})
			req := sample(8)
			span := req.ResourceSpans[1].ScopeSpans[0].Spans[1]
			odd.spoil(span)
			resp, err := b.client.Export(t.Context(), req)
			require.NoError(t, err)
			require.Nil(t, resp.PartialSuccess)
			for form, send := range forms(t, req) {
				resp, body := send(b)
				require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", form, body)
				require.LessOrEqual(t, len(body), 2, "no partial success: %s", body)
			}
			accepted, rejected := b.published.onRecord(t, "default")
			require.Equal(t, 5*8, accepted)
			require.Empty(t, rejected)
			stored := b.published.spans(t)
			require.Len(t, stored, 8)
			got := stored["span-5"]
			require.Equal(t, span.StartTimeUnixNano, got.StartTimeUnixNano)
			require.Equal(t, span.EndTimeUnixNano, got.EndTimeUnixNano)
			last := got.Attributes[len(got.Attributes)-1]
			if odd.mend == "" {
				require.True(t, proto.Equal(span, got))
				return
			}
			require.Equal(t, otlp.MarkMended, last.Key)
			families, err := b.stats.Gather()
			require.NoError(t, err)
			for _, f := range families {
				if f.GetName() != "driftmesh_gateway_otlp_mended_spans_total" {
					continue
				}
				for _, m := range f.Metric {
					want := 0.0
					if m.Label[0].GetValue() == odd.mend {
						want = 5
					}
					require.InDelta(t, want, m.GetCounter().GetValue(), 0, m.Label[0].GetValue())
				}
			}
		})
	}
}

func TestInvalidUTF8IsReplacedInOneSpan(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	req := sample(8)
	req.ResourceSpans[0].ScopeSpans[0].Spans[0].Name = "@@@@"
	raw := strings.Replace(string(encode(t, req)), "@@@@", "@\xff@@", 1)
	resp, body := b.post(t, typeProto, []byte(raw))
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Empty(t, body)
	require.Contains(t, b.published.spans(t), "@\uFFFD@@")
}

func TestAllBadPublishesNothing(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	req := sample(4)
	for _, rs := range req.ResourceSpans {
		rs.ScopeSpans[0].Spans[0].TraceId = nil
	}
	resp, err := b.client.Export(t.Context(), req)
	require.NoError(t, err)
	require.EqualValues(t, 4, resp.PartialSuccess.RejectedSpans)
	require.Empty(t, b.published.messages())
	_, rejected := b.published.onRecord(t, "default")
	require.Equal(t, 4, rejected["trace_id_length"])
}

func TestLimitsOfAttributesAreSettings(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{Attributes: otlp.Attributes{MaxAttributes: 12, MaxAttributeBytes: 100}})
	req := sample(4)
	span := req.ResourceSpans[0].ScopeSpans[0].Spans[0]
	span.Attributes = []*commonpb.KeyValue{str("k", strings.Repeat("x", 101))}
	for range 12 {
		span.Attributes = append(span.Attributes, str("k", "v"))
	}
	_, err := b.client.Export(t.Context(), req)
	require.NoError(t, err)
	attrs := b.published.spans(t)[span.Name].Attributes
	require.Len(t, attrs, 13)
	require.Less(t, len(attrs[0].Value.GetStringValue()), 100)
	require.Equal(t, "attribute k cut from 108 to 92 bytes; attributes beyond 12 dropped", attrs[12].Value.GetStringValue())
}

// details finds a detail of the wanted type in a status.
func details[T proto.Message](st *status.Status) (found T, ok bool) {
	for _, d := range st.Details() {
		if found, ok = d.(T); ok {
			return found, true
		}
	}
	return found, false
}

// httpStatus reads the google.rpc.Status of an HTTP answer.
func httpStatus(t *testing.T, resp *http.Response, body []byte) *status.Status {
	t.Helper()
	st := &statuspb.Status{}
	if resp.Header.Get("Content-Type") == typeJSON {
		require.NoError(t, protojson.Unmarshal(body, st), "%s", body)
	} else {
		require.Equal(t, typeProto, resp.Header.Get("Content-Type"))
		require.NoError(t, proto.Unmarshal(body, st))
	}
	return status.FromProto(st)
}

func TestMalformedRequestsNameTheField(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	raw := encode(t, sample(100))
	cut := raw[:len(raw)-10]
	requireBad := func(st *status.Status, field string) {
		t.Helper()
		require.Equal(t, codes.InvalidArgument, st.Code())
		require.Contains(t, st.Message(), field)
		bad, ok := details[*errdetails.BadRequest](st)
		require.True(t, ok)
		require.Equal(t, field, bad.FieldViolations[0].Field)
		_, ok = details[*errdetails.RetryInfo](st)
		require.False(t, ok)
	}
	for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(grpcgzip.Name)}} {
		err := b.conn.Invoke(t.Context(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", cut, &[]byte{},
			append(options, grpc.ForceCodecV2(rawClient{}))...)
		requireBad(status.Convert(err), "resource_spans[3]")
	}
	resp, body := b.post(t, typeProto, cut)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	requireBad(httpStatus(t, resp, body), "resource_spans[3]")

	resp, body = b.post(t, typeJSON, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SERVER"}]}]}]}`))
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	requireBad(httpStatus(t, resp, body), "resourceSpans[0].scopeSpans[0].spans[0].kind")

	resp, body = b.post(t, typeProto, []byte("not gzip at all"), "Content-Encoding", "gzip")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Contains(t, httpStatus(t, resp, body).Message(), "not valid gzip")
	half := packed(t, raw)
	resp, _ = b.post(t, typeProto, half[:len(half)/2], "Content-Encoding", "gzip")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Empty(t, b.published.messages())
}

func TestWrongTypesMethodsAndPaths(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	raw := encode(t, sample(4))
	resp, body := b.post(t, "text/plain", raw)
	require.Equal(t, http.StatusUnsupportedMediaType, resp.StatusCode)
	require.Contains(t, httpStatus(t, resp, body).Message(), `content type "text/plain" is not supported`)
	resp, _ = b.post(t, "", raw)
	require.Equal(t, http.StatusUnsupportedMediaType, resp.StatusCode)
	resp, body = b.post(t, typeProto, raw, "Content-Encoding", "zstd")
	require.Equal(t, http.StatusUnsupportedMediaType, resp.StatusCode)
	require.Equal(t, "gzip", resp.Header.Get("Accept-Encoding"))
	require.Contains(t, httpStatus(t, resp, body).Message(), `content encoding "zstd"`)

	for _, tc := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, "/v1/traces", http.StatusMethodNotAllowed}, {http.MethodPut, "/v1/traces", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v1/metrics", http.StatusMethodNotAllowed}, {http.MethodPost, "/v1/logs", http.StatusUnsupportedMediaType},
		{http.MethodPost, "/v1development/profiles", http.StatusNotImplemented},
		{http.MethodPost, "/v1/trace", http.StatusNotFound},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, b.url+tc.path, http.NoBody)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, tc.code, resp.StatusCode, "%s %s", tc.method, tc.path)
		require.NotEmpty(t, httpStatus(t, resp, body).Message())
	}
	require.Empty(t, b.published.messages())
}

func TestWhoCalls(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	req := sample(4)
	_, err := b.client.Export(withToken(t.Context(), "wrong"), req)
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	info, ok := details[*errdetails.ErrorInfo](status.Convert(err))
	require.True(t, ok)
	require.Equal(t, "TOKEN_INVALID", info.Reason)
	_, err = b.client.Export(withToken(withToken(t.Context(), "acme-token"), "wrong"), req)
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	_, err = b.client.Export(withToken(t.Context(), "auth-is-away"), req)
	requireRetry(t, status.Convert(err))

	raw := encode(t, req)
	resp, body := b.post(t, typeProto, raw, "Authorization", "Bearer wrong")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Equal(t, "Bearer", resp.Header.Get("WWW-Authenticate"))
	require.Equal(t, codes.Unauthenticated, httpStatus(t, resp, body).Code())
	resp, _ = b.post(t, typeProto, raw, "X-Api-Key", "a", "X-Api-Key", "acme-key")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Empty(t, b.published.messages())

	resp, _ = b.post(t, typeProto, raw, "X-Api-Key", "acme-key", event.HeaderTenant, "victim")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "acme", b.published.messages()[0].Header(event.HeaderTenant))
}

func requireRetry(t *testing.T, st *status.Status) {
	t.Helper()
	require.Equal(t, codes.Unavailable, st.Code(), st.Message())
	retry, ok := details[*errdetails.RetryInfo](st)
	require.True(t, ok, "RetryInfo")
	require.Positive(t, retry.RetryDelay.AsDuration())
}

func TestCORS(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{CORSOrigins: []string{"https://app.example.com"}})
	preflight := func(origin string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, b.url+"/v1/traces", http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Origin", origin)
		req.Header.Set("Access-Control-Request-Method", "POST")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	resp := preflight("https://app.example.com")
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	require.Equal(t, "https://app.example.com", resp.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, resp.Header.Get("Access-Control-Allow-Headers"), "content-type")
	require.Empty(t, preflight("https://evil.example.com").Header.Get("Access-Control-Allow-Origin"))
	resp, _ = b.post(t, typeJSON, []byte("{}"), "Origin", "https://app.example.com")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "https://app.example.com", resp.Header.Get("Access-Control-Allow-Origin"))
}

func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post(b.url+"/v1/traces", typeProto, strings.NewReader(string(encode(t, sample(4)))))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Len(t, b.published.spans(t), 4)
}

func TestMetricsOfTheDoor(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{})
	req := sample(8)
	req.ResourceSpans[0].ScopeSpans[0].Spans[0].SpanId = nil
	_, err := b.client.Export(context.Background(), req)
	require.NoError(t, err)
	_, _ = b.post(t, typeProto, []byte("x"))
	got := map[string]int{}
	families, err := b.stats.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = int(m.GetCounter().GetValue())
		}
	}
	require.Equal(t, 7, got["driftmesh_gateway_otlp_spans_total accepted"])
	require.Equal(t, 1, got["driftmesh_gateway_otlp_spans_total span_id_length"])
	require.Equal(t, 1, got["driftmesh_gateway_otlp_requests_total OK grpc"])
	require.Equal(t, 1, got["driftmesh_gateway_otlp_requests_total InvalidArgument http"])
	require.Equal(t, 1, got["driftmesh_gateway_otlp_rewritten_total"])
}
