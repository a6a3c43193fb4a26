package ingest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
)

const (
	trace1 = "0af7651916cd43dd8448eb211c80319c"
	trace2 = "00000000000000000448eb211c80319d"
	span1  = "b7ad6b7169203331"
	span2  = "b7ad6b7169203332"
)

// in puts a record into a span.
func in(trace, span string, r *ingestv1.Record) *ingestv1.Record {
	r.Traceparent = "00-" + trace + "-" + span + "-01"
	return r
}

func (r *running) records(ctx context.Context, req *recordv1.ListRecordsRequest) (ids []string, resp *recordv1.ListRecordsResponse) {
	r.t.Helper()
	resp, err := recordv1.NewRecordServiceClient(r.conn).ListRecords(ctx, req)
	require.NoError(r.t, err)
	for _, s := range resp.GetRecords() {
		kind := fmt.Sprintf("%T", s.GetRecord().GetBody())
		ids = append(ids, strings.ToLower(kind[strings.LastIndexByte(kind, '_')+1:])+" "+s.GetRecord().GetId())
	}
	return ids, resp
}

func TestATraceLeadsToItsRecordsAndBack(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	r := m.run()
	of := func(body *ingestv1.Record) *ingestv1.Record {
		out := record(body.GetId(), 3, 0)
		out.Body = body.GetBody()
		return out
	}
	first := in(trace1, span1, record("a", 0, 7.25))
	m.publish(
		m.message("acme", first, in(trace1, span2, record("b", 1, 1)), in(trace2, span1, record("c", 1, 2)), record("none", 1, 2)),
		m.message("acme", in(trace1, span1, of(&ingestv1.Record{Id: "m", Body: &ingestv1.Record_Metrics{Metrics: &ingestv1.Metrics{Values: []*ingestv1.Metric{{Name: "mae", Value: 0.5}}}}})),
			in(trace1, span1, of(&ingestv1.Record{Id: "x", Body: &ingestv1.Record_Context{Context: &ingestv1.Context{Json: `{"q":1}`}}})),
			in(trace2, span2, of(&ingestv1.Record{Id: "a", Body: &ingestv1.Record_Labels{Labels: &ingestv1.Features{Values: []*ingestv1.Feature{
				{Name: "colour", Value: &ingestv1.Feature_String_{String_: "white"}}}}}}))),
		m.message("rival", in(trace1, span1, record("a", 0, 9))),
	)
	m.await()

	ids, resp := r.records(as(t, "acme"), &recordv1.ListRecordsRequest{TraceId: trace1})
	require.Equal(t, []string{"context x", "metrics m", "features b", "features a"}, ids, "the newest first")
	require.Empty(t, resp.GetNextPageToken())
	got := resp.GetRecords()[3]
	require.Equal(t, trace1, got.GetTraceId())
	require.Equal(t, span1, got.GetSpanId())
	require.Equal(t, start, got.GetReceivedTime().AsTime())
	require.True(t, proto.Equal(first, got.GetRecord()), "what came back is what was sent: %v", got.GetRecord())
	require.Equal(t, `{"q":1}`, resp.GetRecords()[0].GetRecord().GetContext().GetJson())
	require.InDelta(t, 0.5, resp.GetRecords()[1].GetRecord().GetMetrics().GetValues()[0].GetValue(), 0)

	ids, _ = r.records(as(t, "acme"), &recordv1.ListRecordsRequest{TraceId: trace1, SpanId: span2})
	require.Equal(t, []string{"features b"}, ids)
	ids, _ = r.records(as(t, "acme"), &recordv1.ListRecordsRequest{TraceId: trace2[16:], Profile: wine})
	require.Equal(t, []string{"labels a", "features c"}, ids, "an id of 64 bits")
	ids, resp = r.records(as(t, "acme"), &recordv1.ListRecordsRequest{Profile: wine, RecordId: "a"})
	require.Equal(t, []string{"labels a", "features a"}, ids, "a record leads to its trace, and to that of its labels")
	require.Equal(t, []string{trace2, trace1}, []string{resp.GetRecords()[0].GetTraceId(), resp.GetRecords()[1].GetTraceId()})
	require.Len(t, resp.GetRecords()[0].GetRecord().GetLabels().GetValues(), 1, "a label says only what it says")

	// Nobody else's, and nothing of a space that the caller is not for.
	_, resp = r.records(as(t, "rival"), &recordv1.ListRecordsRequest{TraceId: trace1})
	require.Len(t, resp.GetRecords(), 1)
	require.InDelta(t, 9.0, resp.GetRecords()[0].GetRecord().GetFeatures().GetValues()[0].GetFloat(), 0)
	ids, _ = r.records(as(t, "nobody"), &recordv1.ListRecordsRequest{TraceId: trace1})
	require.Empty(t, ids)
	elsewhere := metadata.AppendToOutgoingContext(as(t, "acme"), "spaces", "elsewhere")
	ids, _ = r.records(elsewhere, &recordv1.ListRecordsRequest{TraceId: trace1})
	require.Empty(t, ids)
	ids, _ = r.records(metadata.AppendToOutgoingContext(as(t, "acme"), "spaces", "cellar"), &recordv1.ListRecordsRequest{TraceId: trace1})
	require.Len(t, ids, 4)
	client := recordv1.NewRecordServiceClient(r.conn)
	_, err := client.ListRecords(elsewhere, &recordv1.ListRecordsRequest{Profile: wine, RecordId: "a"})
	require.ErrorIs(t, err, fault.NotFound)
	for _, bad := range []*recordv1.ListRecordsRequest{
		{}, {Profile: wine}, {RecordId: "a"}, {TraceId: "x"}, {TraceId: strings.Repeat("0", 32)}, {TraceId: trace1, SpanId: "12"},
		{TraceId: trace1, RecordId: "a"}, {TraceId: trace1, PageToken: "?"}, {SpanId: span1, Profile: wine, RecordId: "a"},
	} {
		_, err := client.ListRecords(as(t, "acme"), bad)
		require.ErrorIs(t, err, fault.Invalid, "%v", bad)
	}
}

// A record that was sent again, in another minute and another trace, is in the
// trace of the version that counts and in no other.
func TestARecordIsInOneTrace(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	r := m.run()
	m.publish(m.message("acme", in(trace1, span1, record("a", 0, 1))), m.message("acme", in(trace2, span2, record("a", 5, 2))))
	m.await()
	_, one := r.records(as(t, "acme"), &recordv1.ListRecordsRequest{TraceId: trace1})
	_, two := r.records(as(t, "acme"), &recordv1.ListRecordsRequest{TraceId: trace2})
	_, id := r.records(as(t, "acme"), &recordv1.ListRecordsRequest{Profile: wine, RecordId: "a"})
	require.Len(t, id.GetRecords(), 1)
	require.Equal(t, 1, len(one.GetRecords())+len(two.GetRecords()))
	require.True(t, proto.Equal(id.GetRecords()[0], append(one.GetRecords(), two.GetRecords()...)[0]))
}

func TestPagesOfRecords(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	r := m.run()
	const n = 23
	var list []*ingestv1.Record
	for i := range n { // several at one time
		list = append(list, in(trace1, span1, record(fmt.Sprintf("%02d", i), i/5, float64(i))))
	}
	for i := range 4 { // three of which fill a page
		big := record(fmt.Sprint("big", i), 30, 0)
		big.Body = &ingestv1.Record_Context{Context: &ingestv1.Context{Json: `{"a":"` + strings.Repeat("x", 700<<10) + `"}`}}
		list = append(list, in(trace1, span1, big))
	}
	for _, one := range list {
		m.publish(m.message("acme", one))
	}
	m.await()
	seen := map[string]int{}
	pages, token := 0, ""
	for {
		ids, resp := r.records(as(t, "acme"), &recordv1.ListRecordsRequest{TraceId: trace1, PageSize: 7, PageToken: token})
		for _, id := range ids {
			seen[id]++
		}
		require.Less(t, proto.Size(resp), 3<<20)
		pages++
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Len(t, seen, len(list))
	for id, times := range seen {
		require.Equal(t, 1, times, id)
	}
	require.Equal(t, 5, pages, "two of the large ones, then seven each")
}
