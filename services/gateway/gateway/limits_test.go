package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/quota"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

// limit gives a tenant limits of its own, as auth would.
func (w *world) limit(tenant string, own quota.Own) {
	w.tenants.Hear(quota.Change{Own: map[string]quota.Own{tenant: own}, Head: 1})
}

// requireTurnedAway requires RESOURCE_EXHAUSTED that names the limit and says when to
// come again.
func requireTurnedAway(t *testing.T, err error, limit string) {
	t.Helper()
	st := status.Convert(err)
	require.Equal(t, codes.ResourceExhausted, st.Code(), "%v", err)
	require.Contains(t, st.Message(), "the limit "+limit+" of tenant acme is ")
	var wait time.Duration
	for _, d := range st.Details() {
		if info, is := d.(*errdetails.RetryInfo); is {
			wait = info.GetRetryDelay().AsDuration()
		}
	}
	require.Positive(t, wait, "OTLP's exporters come again only where they are told to")
}

// unread is the body of a request that is answered without it: it never ends.
func unread(t *testing.T) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	return r
}

// Whoever is over its rate is turned away at every door before a byte is read, told
// when to come again and counted; others are not.
func TestOverItsRateATenantIsTurnedAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	receipts, err := w.admin.Tail(t.Context(), event.SpanReceipts)
	require.NoError(t, err)
	defer func() { require.NoError(t, receipts.Close()) }()
	w.limit("acme", quota.Own{quota.IngestItems: 1, quota.IngestItemsBurst: 1})
	otlp := coltracepb.NewTraceServiceClient(w.dial(w.otlpGRPC))
	many := exported()
	for range 5 { // 192 spans: three minutes of the rate
		many.ResourceSpans = append(many.ResourceSpans, many.GetResourceSpans()...)
	}
	_, err = otlp.Export(as(t, "acme"), many)
	require.NoError(t, err, "larger than what comes in a second: nothing is too large, it is made up for")

	_, err = otlp.Export(as(t, "acme"), exported())
	requireTurnedAway(t, err, "ingest-items")
	require.Contains(t, status.Convert(err).Message(), "is 1 a second and 1 at once: it is used up, and more fits in ")
	_, err = w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("a", float("alcohol", 1))}})
	requireTurnedAway(t, err, "ingest-items")
	for _, route := range []string{w.otlpHTTP + "/v1/traces", w.otlpHTTP + "/v1/logs", w.http + "/api/v1/records", w.http + "/api/v1/records:stream"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, route, unread(t))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token("acme", nil))
		req.Header.Set("Content-Type", "application/json")
		resp, err := w.client.Do(req)
		require.NoError(t, err, route)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode, "%s: %s", route, body)
		require.NotEmpty(t, resp.Header.Get("Retry-After"), route)
		require.Contains(t, string(body), "the limit ingest-items of tenant acme is 1 a second", route)
	}
	_, err = otlp.Export(as(t, "beta"), exported())
	require.NoError(t, err, "another tenant")

	accepted, refused := uint64(0), uint64(0)
	for refused < 3 { // over gRPC, and twice over HTTP
		m, err := receipts.Next(t.Context())
		require.NoError(t, err)
		var receipt eventv1.Receipt
		require.NoError(t, proto.Unmarshal(m.Value, &receipt))
		for _, a := range receipt.GetAccounts() {
			if a.GetTenant() != "acme" {
				continue
			}
			refused = max(refused, a.GetRefused()["ingest-items"])
			for _, l := range a.GetLanes() {
				accepted = max(accepted, l.GetItems())
			}
			require.Positive(t, a.GetBytes())
		}
	}
	require.Equal(t, uint64(192), accepted)
	require.Equal(t, uint64(3), refused)
	require.InDelta(t, 6, w.metric("driftmesh_gateway_tenant_refused_total", "acme", "ingest-items"), 0)
	require.InDelta(t, 1, w.metric("driftmesh_gateway_tenant_limit", "acme", "ingest-items"), 0)
	require.Positive(t, w.metric("driftmesh_gateway_tenant_used", "acme", "ingest-items"))

	w.limit("acme", nil)
	_, err = otlp.Export(as(t, "acme"), exported())
	require.NoError(t, err, "without the limit it is let in at once")
}

// What cannot be read has cost as much as what can, and a request without anything in it
// costs something: neither is a way around a rate.
func TestWhatCannotBeReadCountsAgainstTheRate(t *testing.T) {
	t.Parallel()
	w := start(t)
	garbage := strings.Repeat("\x00", 1<<20)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := io.WriteString(z, garbage)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	post := func(tenant, route, media, body string, head ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, route, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token(tenant, nil))
		req.Header.Set("Content-Type", media)
		for i := 0; i < len(head); i += 2 {
			req.Header.Set(head[i], head[i+1])
		}
		resp, err := w.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	const proto, json = "application/x-protobuf", "application/json"
	for tenant, send := range map[string]func(tenant string) int{
		"otlp": func(n string) int { return post(n, w.otlpHTTP+"/v1/traces", proto, garbage) },
		"packed": func(n string) int {
			return post(n, w.otlpHTTP+"/v1/traces", proto, bomb.String(), "Content-Encoding", "gzip")
		},
		"cut": func(n string) int {
			return post(n, w.otlpHTTP+"/v1/logs", proto, bomb.String()[:bomb.Len()-9], "Content-Encoding", "gzip")
		},
		"json":    func(n string) int { return post(n, w.otlpHTTP+"/v1/traces", json, "["+strings.Repeat("1,", 1<<19)) },
		"records": func(n string) int { return post(n, w.http+"/api/v1/records", json, "["+strings.Repeat("1,", 1<<19)) },
		"empty":   func(n string) int { return post(n, w.otlpHTTP+"/v1/traces", json, "{}") },
		"grpc": func(n string) int {
			err := w.dial(w.otlpGRPC).Invoke(as(t, n), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", []byte(garbage), new([]byte), grpc.ForceCodec(plainBytes{}))
			return map[codes.Code]int{codes.InvalidArgument: http.StatusBadRequest, codes.ResourceExhausted: http.StatusTooManyRequests}[status.Code(err)]
		},
		"native": func(n string) int {
			err := w.conn().Invoke(as(t, n), ingestv1.IngestService_PublishRecords_FullMethodName, []byte(garbage), new([]byte), grpc.ForceCodec(plainBytes{}))
			return map[codes.Code]int{codes.InvalidArgument: http.StatusBadRequest, codes.ResourceExhausted: http.StatusTooManyRequests}[status.Code(err)]
		},
	} {
		w.tenants.Hear(quota.Change{Own: map[string]quota.Own{tenant: {quota.IngestRate: 100}}, Head: 1})
		first, second := send(tenant), send(tenant)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusOK}, first, tenant)
		require.Equal(t, http.StatusTooManyRequests, second, tenant)
	}
}

// plainBytes sends what it is given.
type plainBytes struct{}

func (plainBytes) Name() string                  { return "proto" }
func (plainBytes) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (plainBytes) Unmarshal([]byte, any) error   { return nil }

// metric is the value of a tenant's series, 0 when it is not there.
func (w *world) metric(name, tenant, limit string) float64 {
	w.t.Helper()
	families, err := w.stats.Gather()
	require.NoError(w.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == name && labels["tenant"] == tenant && labels["limit"] == limit {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// What a tenant has in memory is bounded: by its own limit, and so that others find
// room.
func TestMemoryOfOneTenantIsBounded(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *gateway.Config) { c.MaxInFlight = 8 << 20 })
	w.limit("acme", quota.Own{quota.InFlight: 100 << 10})
	otlp := coltracepb.NewTraceServiceClient(w.dial(w.otlpGRPC))
	_, err := otlp.Export(as(t, "acme"), exported())
	requireTurnedAway(t, err, "in-flight") // a request takes a window until its length is known
	_, err = otlp.Export(as(t, "beta"), exported())
	require.NoError(t, err)
}

// A topic that nobody reads is full for whoever filled it, and not for the others.
func TestTheTopicIsFullForWhoFillsIt(t *testing.T) {
	t.Parallel()
	w := start(t)
	require.NoError(t, w.admin.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: event.Spans, Name: event.GroupTraceStore}))
	w.limit("acme", quota.Own{quota.BacklogBytes: 10 << 10})
	otlp := coltracepb.NewTraceServiceClient(w.dial(w.otlpGRPC))
	sent := 0
	var err error
	for ; err == nil && sent < 1000; sent++ {
		_, err = otlp.Export(as(t, "acme"), exported())
	}
	requireTurnedAway(t, err, "backlog")
	require.Less(t, sent, 100)
	_, err = otlp.Export(as(t, "beta"), exported())
	require.NoError(t, err)

	consumer, err := w.admin.Consumer(broker.ConsumerConfig{Topic: event.Spans, Group: event.GroupTraceStore, Linger: time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, consumer.Close(context.Background())) }()
	for read := 0; read < sent; {
		batch, err := consumer.Receive(t.Context())
		require.NoError(t, err)
		read += len(batch.Deliveries)
		require.NoError(t, batch.Ack(t.Context()))
	}
	require.Eventually(t, func() bool {
		_, err := otlp.Export(as(t, "acme"), exported())
		return err == nil
	}, patience, 50*time.Millisecond, "what is settled counts no more")
}

// A flood of tails gets as many as it may; another tenant opens its own.
func TestTailFloods(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.limit("acme", quota.Own{quota.Tails: 3})
	client := w.ingest()
	open := func(tenant string) error {
		stream, err := client.Tail(as(t, tenant), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})
		require.NoError(t, err)
		head, err := stream.Header()
		if err == nil && head == nil {
			_, err = stream.Recv()
		}
		return err
	}
	turned := 0
	for range 50 {
		if err := open("acme"); err != nil {
			requireTurnedAway(t, err, "tails")
			turned++
		}
	}
	require.Equal(t, 47, turned)
	require.NoError(t, open("beta"))
	require.InDelta(t, 3, w.metric("driftmesh_gateway_tenant_used", "acme", "tails"), 0)
}
