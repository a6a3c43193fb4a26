package tracestore_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/quota"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
	"github.com/driftmesh/driftmesh/services/trace-store/tracestore"
)

// A query that would read more than its tenant may is refused by the engine, and the
// answer names the limit; another tenant's is answered.
func TestQueriesCostNoMoreThanTheyMay(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	random := rand.New(rand.NewPCG(1, 1))
	for _, tenant := range []string{"acme", "beta"} {
		data := tracetest.Realistic(random, uint64(time.Now().UnixNano()))
		m.publish(m.message(tenant, data))
		r.written(tenant, len(tracetest.Canonical(data)))
	}
	r.tenants.Hear(quota.Change{Own: map[string]quota.Own{"acme": {quota.QueryRead: 1}}})
	sql := func(tenant string) error {
		stream, err := r.traces().QuerySQL(as(tenant), &tracev1.QuerySQLRequest{Query: "SELECT count(), max(SpanName) FROM otel_traces"})
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	search := func(tenant string) error {
		_, err := r.traces().SearchTraces(as(tenant), &tracev1.SearchTracesRequest{})
		return err
	}
	senders := func(tenant string) error {
		_, err := ledgerv1.NewLedgerServiceClient(r.conn).ListSenders(as(tenant), &ledgerv1.ListSendersRequest{
			Data: &ledgerv1.ListSendersRequest_TraceId{TraceId: "0af7651916cd43dd8448eb211c80319c"},
		})
		return err
	}
	for what, ask := range map[string]func(string) error{"sql": sql, "search": search, "senders": senders} {
		err := ask("acme")
		require.ErrorIs(t, err, fault.Exhausted, what)
		require.Contains(t, fault.Of(err).Message(), "the limit query-read of tenant acme is 1B: the query would read more", what)
		require.Zero(t, fault.Of(err).RetryAfter(), "it would not read less later")
		require.NotErrorIs(t, ask("beta"), fault.Exhausted, what)
	}
	r.tenants.Hear(quota.Change{Own: map[string]quota.Own{"acme": {}}})
	require.NoError(t, search("acme"))
}

// What was turned away at the doors, and how much is kept of whom, is told of what
// receipts say, however often and in whatever order they come.
func TestReceiptsTellWhatIsKept(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	today := uint32(time.Now().Unix() / 86400)
	receipt := func(instance, tenant string, day uint32, bytes, refused uint64) {
		value, err := proto.Marshal(&eventv1.Receipt{Instance: instance, Accounts: []*eventv1.ReceiptAccount{{
			Tenant: tenant, Day: day, Bytes: bytes, Refused: map[string]uint64{"ingest-rate": refused}, Rejected: map[string]uint64{"trace_id_zero": 2},
		}}})
		require.NoError(t, err)
		m.publish(envelope.New(event.SpanReceipts, envelope.Stamp{Tenant: event.Mesh, Type: event.TypeReceipt, Count: 1, Accepted: time.Now()}, value))
	}
	receipt("gw1", "acme", today, 500, 3)
	receipt("gw1", "acme", today, 700, 5)
	receipt("gw1", "acme", today, 600, 4) // late
	receipt("gw1", "acme", today-1, 100, 0)
	receipt("gw2", "acme", today, 10, 1)
	receipt("gw1", "acme", today-40, 1<<30, 0) // forgotten by now
	receipt("gw1", "beta", today, 7, 0)
	unsettled := r.unsettled()
	require.Equal(t, map[string]uint64{"ingest-rate": 6}, unsettled.GetRefusedRequests())
	require.Equal(t, map[string]uint64{"trace_id_zero": 6}, unsettled.GetRejected(), "by process and day, and no bytes among them")
	kept, err := ledgerv1.NewLedgerServiceClient(r.conn).GetRetained(as(identity.MeshTenant), &ledgerv1.GetRetainedRequest{})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"acme": 810, "beta": 7}, kept.GetBytes())
}

// While one tenant floods with queries, another's are answered in their turn.
func TestAFloodOfQueriesStarvesNobody(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	r.tenants.Hear(quota.Change{Defaults: quota.Limits{quota.Queries: 6}})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const flood = 100
	ended := make(chan error, flood)
	ask := func(tenant, query string) error {
		stream, err := r.traces().QuerySQL(as(tenant), &tracev1.QuerySQLRequest{Query: query})
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	for range flood {
		go func() {
			for ctx.Err() == nil {
				if err := ask("flood", "SELECT sum(sipHash64(a.number + b.number)) FROM numbers(3000) a, numbers(3000) b"); err != nil && fault.Of(err).Reason() == quota.Reason {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	require.Eventually(t, func() bool { return len(ended) > 0 }, patience, time.Millisecond, "more than may wait are turned away")
	require.ErrorIs(t, <-ended, fault.Exhausted)
	for range 5 {
		start := time.Now()
		_, err := r.traces().ListServices(as("quiet"), &tracev1.ListServicesRequest{})
		require.NoError(t, err)
		require.Less(t, time.Since(start), 5*time.Second)
	}
	stop()
	for range flood - 1 {
		<-ended
	}
}

// Who asks for much and does not take it is held for a turn and no longer: an answer
// waits in memory, and perhaps holds a connection to the store, until it is taken.
func TestSlowReadersHoldNothingForLong(t *testing.T) {
	m := newMesh(t)
	r := m.run(func(c *tracestore.Config) { c.QueryTimeout, c.SQLTimeout = time.Second, time.Second })
	r.tenants.Hear(quota.Change{Defaults: quota.Limits{quota.Queries: 6}})
	data := tracetest.Realistic(rand.New(rand.NewPCG(1, 1)), uint64(time.Now().UnixNano()))
	spans := data.GetResourceSpans()[0].GetScopeSpans()[0]
	spans.Spans = spans.GetSpans()[:1]
	data.ResourceSpans = data.GetResourceSpans()[:1]
	data.ResourceSpans[0].ScopeSpans = data.GetResourceSpans()[0].GetScopeSpans()[:1]
	trace := hex.EncodeToString(spans.GetSpans()[0].GetTraceId())
	large := proto.CloneOf(spans.GetSpans()[0])
	large.Attributes = []*commonpb.KeyValue{{Key: "large", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.Repeat("x", 1<<19)}}}}
	spans.Spans = nil
	const n = 24
	for i := range n {
		one := proto.CloneOf(large)
		one.SpanId = fmt.Appendf(nil, "span%04d", i)
		spans.Spans = append(spans.Spans, one)
	}
	m.publish(m.message("slow", data))
	r.written("slow", n)

	slow := r.dial(grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<20)) // of one answer little is on its way
	defer slow.Close()
	begin := func() grpc.ServerStreamingClient[tracev1.GetTraceResponse] {
		stream, err := tracev1.NewTraceServiceClient(slow).GetTrace(as("slow"), &tracev1.GetTraceRequest{TraceId: trace})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		return stream
	}
	first := begin()
	for range 6 { // of which the last waits until the turn of the first is over
		begin()
	}
	var err error
	for err == nil {
		_, err = first.Recv()
	}
	require.ErrorIs(t, err, fault.Timeout)
	got := 0
	stream, err := r.traces().GetTrace(as("slow"), &tracev1.GetTraceRequest{TraceId: trace})
	for err == nil {
		var part *tracev1.GetTraceResponse
		part, err = stream.Recv()
		got += len(part.GetOtlpTraces())
	}
	require.ErrorIs(t, err, io.EOF)
	require.Greater(t, got, n<<19, "who takes it gets all of it")
}
