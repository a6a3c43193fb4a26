package otlpdoor

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

type drop struct{}

func (drop) Publish(context.Context, []broker.Message) error { return nil }
func (drop) Close(context.Context) error                     { return nil }

// TestNothingIsAllocatedPerSpan calls the whole handler, decoding included,
// with requests of ten to ten thousand spans: each costs the same few
// allocations.
func TestNothingIsAllocatedPerSpan(t *testing.T) {
	stats := prometheus.NewRegistry()
	calls, err := rpc.NewMetrics(rpc.MetricsConfig{}, stats)
	require.NoError(t, err)
	tenants := quota.NewBook(quota.Limits{quota.IngestRate: 1 << 50, quota.IngestItems: 1 << 50, quota.InFlight: 1 << 50})
	d, err := New(Config{}, Deps{
		Intake: door.NewIntake(door.IntakeConfig{
			Topic: event.Spans, Type: event.TypeTraces, Receipts: event.SpanReceipts,
			Tenants: tenants, Backlog: quota.NewBacklog(tenants, quota.Spans, 1<<50),
		}, "gw", drop{}),
		Budget: door.NewBudget(256 << 20), MaxMessage: func() int { return 64 << 20 },
		Identify: func(context.Context, string, string) (identity.Identity, error) {
			return identity.Identity{Tenant: "acme", Subject: "s", Kind: identity.Key, Grant: policy.As(policy.Ingest)}, nil
		},
		Log: slog.New(slog.DiscardHandler), Stats: stats, Calls: calls, Traces: noop.NewTracerProvider(),
	})
	require.NoError(t, err)
	codec := rawCodec{}
	allocs := map[int]float64{}
	for _, spans := range []int{10, 100, 1000, 10_000} {
		body := request4(spans)
		half := len(body) / 2
		frames := mem.BufferSlice{mem.SliceBuffer(body[:half]), mem.SliceBuffer(body[half:])}
		decode := func(v any) error { return codec.Unmarshal(frames, v) }
		run := func() {
			resp, err := export(d, context.Background(), decode, nil)
			if err != nil || len(resp.(rawAnswer)) != 0 {
				t.Fatal(resp, err)
			}
		}
		run()
		allocs[spans] = testing.AllocsPerRun(50, run)
	}
	t.Log("allocations a request, by spans: ", allocs)
	// Equal, but for the race detector, under which a sync.Pool forgets a
	// quarter of what it is given.
	const forgotten = 4
	require.InDelta(t, allocs[10], allocs[1000], forgotten)
	require.InDelta(t, allocs[10], allocs[10_000], forgotten)
	// Two dozen of them are for a receipt of its own, which under load many share.
	require.Less(t, allocs[100], 80.0)
}

// request4 is a request of so many spans with four attributes each.
func request4(spans int) []byte {
	var scope []byte
	for i := range spans {
		var s []byte
		s = protowire.AppendBytes(append(s, 1<<3|2), []byte(fmt.Sprintf("trace%011d", i)))
		s = protowire.AppendBytes(append(s, 2<<3|2), []byte(fmt.Sprintf("span%04d", i%10_000)))
		s = protowire.AppendBytes(append(s, 5<<3|2), []byte("GET /api/v1/orders"))
		s = protowire.AppendFixed64(append(s, 7<<3|1), uint64(time.Now().UnixNano()))
		s = protowire.AppendFixed64(append(s, 8<<3|1), uint64(time.Now().UnixNano()))
		for range 4 {
			value := protowire.AppendBytes([]byte{1<<3 | 2}, []byte("value"))
			kv := protowire.AppendBytes([]byte{1<<3 | 2}, []byte("key"))
			kv = protowire.AppendBytes(append(kv, 2<<3|2), value)
			s = protowire.AppendBytes(append(s, 9<<3|2), kv)
		}
		scope = protowire.AppendBytes(append(scope, 2<<3|2), s)
	}
	resource := protowire.AppendBytes([]byte{2<<3 | 2}, scope)
	return protowire.AppendBytes([]byte{1<<3 | 2}, resource)
}
