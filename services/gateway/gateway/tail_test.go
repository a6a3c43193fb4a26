package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

func attribute(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// exported is a request with the spans a, b and c of each of two services.
func exported() *coltracepb.ExportTraceServiceRequest {
	req := &coltracepb.ExportTraceServiceRequest{}
	now := uint64(time.Now().UnixNano())
	for i, service := range []string{"shop", "bank"} {
		ss := &tracepb.ScopeSpans{}
		for j, name := range []string{"a", "b", "c"} {
			ss.Spans = append(ss.Spans, &tracepb.Span{
				TraceId: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, byte(16 + j)},
				SpanId:  []byte{1, 2, 3, 4, 5, 6, byte(i), byte(j + 1)}, Name: name,
				StartTimeUnixNano: now, EndTimeUnixNano: now + 1000,
				Attributes: []*commonpb.KeyValue{
					attribute("who", name), {Key: "n", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(j)}}},
				},
			})
		}
		req.ResourceSpans = append(req.ResourceSpans, &tracepb.ResourceSpans{
			Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", service), attribute("zone", "z1")}},
			ScopeSpans: []*tracepb.ScopeSpans{ss},
		})
	}
	return req
}

// names lists service/span of an answer.
func names(t *testing.T, raw []byte) []string {
	t.Helper()
	var data tracepb.TracesData
	require.NoError(t, proto.Unmarshal(raw, &data))
	var list []string
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				list = append(list, rs.GetResource().GetAttributes()[0].GetValue().GetStringValue()+"/"+s.GetName())
			}
		}
	}
	return list
}

// watch opens a view and waits until it is open.
func (w *world) watch(ctx context.Context, req *ingestv1.TailRequest) ingestv1.IngestService_TailClient {
	w.t.Helper()
	stream, err := w.ingest().Tail(ctx, req)
	require.NoError(w.t, err)
	md, err := stream.Header()
	require.NoError(w.t, err)
	require.NotEmpty(w.t, md)
	return stream
}

func TestTailSpans(t *testing.T) {
	t.Parallel()
	w := start(t)
	all := []string{"shop/a", "shop/b", "shop/c", "bank/a", "bank/b", "bank/c"}
	tests := map[string]struct {
		req  *ingestv1.TailRequest
		want []string
	}{
		"all":            {&ingestv1.TailRequest{}, all},
		"service":        {&ingestv1.TailRequest{Service: "bank"}, all[3:]},
		"name":           {&ingestv1.TailRequest{SpanName: "b"}, []string{"shop/b", "bank/b"}},
		"trace":          {&ingestv1.TailRequest{TraceId: "0102030405060708090a0b0c0d0e0f12"}, []string{"shop/c", "bank/c"}},
		"attribute":      {&ingestv1.TailRequest{Attributes: map[string]string{"n": "1", "zone": "z1"}}, []string{"shop/b", "bank/b"}},
		"all at once":    {&ingestv1.TailRequest{Service: "shop", SpanName: "a", Attributes: map[string]string{"who": "a"}}, []string{"shop/a"}},
		"contradictions": {&ingestv1.TailRequest{SpanName: "a", Attributes: map[string]string{"who": "b"}}, nil},
	}
	streams := map[string]ingestv1.IngestService_TailClient{}
	for name, tt := range tests {
		tt.req.Signal = ingestv1.Signal_SIGNAL_SPANS
		streams[name] = w.watch(as(t, "acme"), tt.req)
	}
	other, stop := context.WithTimeout(as(t, "other"), 500*time.Millisecond)
	defer stop()
	theirs := w.watch(other, &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})

	_, err := coltracepb.NewTraceServiceClient(w.dial(w.otlpGRPC)).Export(as(t, "acme"), exported())
	require.NoError(t, err)
	for name, tt := range tests {
		if tt.want == nil {
			continue
		}
		answer, err := streams[name].Recv()
		require.NoError(t, err, name)
		require.Equal(t, tt.want, names(t, answer.GetOtlpTraces()), name)
		require.Zero(t, answer.GetMissed())
	}
	_, err = theirs.Recv()
	require.Equal(t, codes.DeadlineExceeded, status.Code(err), "nothing of another tenant's")
}

func TestTailRecords(t *testing.T) {
	t.Parallel()
	w := start(t)
	all := w.watch(as(t, "acme"), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_RECORDS})
	traced := w.watch(as(t, "acme"), &ingestv1.TailRequest{
		Signal: ingestv1.Signal_SIGNAL_RECORDS, Profile: wineUID, TraceId: "0102030405060708090A0B0C0D0E0F10",
	})
	second := wine("second", float("alcohol", 1))
	second.Traceparent = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"
	_, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{
		Records: []*ingestv1.Record{wine("first", float("alcohol", 1)), second},
	})
	require.NoError(t, err)
	for _, want := range []string{"first", "second"} {
		answer, err := all.Recv()
		require.NoError(t, err)
		require.Equal(t, want, answer.GetRecord().GetId())
	}
	answer, err := traced.Recv()
	require.NoError(t, err)
	require.Equal(t, "second", answer.GetRecord().GetId())
}

func TestTailRefusesBadFilters(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *gateway.Config) { c.MaxTails = 1 })
	for name, req := range map[string]*ingestv1.TailRequest{
		"signal":     {},
		"trace_id":   {Signal: ingestv1.Signal_SIGNAL_SPANS, TraceId: "zz"},
		"attributes": {Signal: ingestv1.Signal_SIGNAL_RECORDS, Attributes: map[string]string{"a": "b"}},
	} {
		stream, err := w.ingest().Tail(as(t, "acme"), req)
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, codes.InvalidArgument, status.Code(err), name)
		require.Contains(t, status.Convert(err).Message(), name)
	}
	ctx, cancel := context.WithCancel(as(t, "acme"))
	defer cancel()
	w.watch(ctx, &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})
	stream, err := w.ingest().Tail(as(t, "acme"), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})
	require.NoError(t, err)
	_, err = stream.Recv()
	requireRetry(t, err)
}

func TestSlowReaderMissesAndIsTold(t *testing.T) {
	t.Parallel()
	w := start(t)
	slow := w.watch(as(t, "acme"), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_RECORDS})
	client := w.ingest()
	big := strings.Repeat("x", 60<<10)
	const sent = 400 // 24 MB, more than flow control and the queue hold
	for range sent {
		_, err := client.PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("", text("colour", big))}})
		require.NoError(t, err)
	}
	received, missed := 0, uint64(0)
	for received+int(missed) < sent {
		answer, err := slow.Recv()
		require.NoError(t, err)
		received++
		missed = answer.GetMissed()
	}
	require.Positive(t, missed)
	require.Equal(t, sent, received+int(missed))
}

func TestTailOverREST(t *testing.T) {
	t.Parallel()
	w := start(t)
	req, err := http.NewRequestWithContext(as(t, "acme"), http.MethodGet, w.http+"/api/v1/tail?signal=SIGNAL_RECORDS", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token("acme", nil))
	resp, err := w.client.Do(req) // returns when the view is open
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/x-ndjson", resp.Header.Get("Content-Type"))
	_, err = w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("one", float("alcohol", 1))}})
	require.NoError(t, err)
	line, err := bufio.NewReader(resp.Body).ReadBytes('\n')
	require.NoError(t, err)
	var answer struct {
		Result struct {
			Record struct {
				ID string `json:"id"`
			} `json:"record"`
		} `json:"result"`
	}
	require.NoError(t, json.Unmarshal(line, &answer))
	require.Equal(t, "one", answer.Result.Record.ID)
}

func TestStreamsEndWhenTheGatewayStops(t *testing.T) {
	t.Parallel()
	w := start(t)
	tail := w.watch(as(t, "acme"), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})
	exchange, err := w.ingest().ExchangeRecords(as(t, "acme"))
	require.NoError(t, err)
	require.NoError(t, exchange.Send(&ingestv1.ExchangeRecordsRequest{BatchId: 1}))
	_, err = exchange.Recv()
	require.NoError(t, err)
	began := time.Now()
	w.stop()
	require.Less(t, time.Since(began), 5*time.Second)
	_, err = tail.Recv()
	requireRetry(t, err)
	_, err = exchange.Recv()
	requireRetry(t, err)
}
