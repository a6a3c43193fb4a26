package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/driftmesh/driftmesh/internal/rpc"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// replica is one of several servers behind a name.
type replica struct {
	address string
	calls   atomic.Int64
	stop    func()
}

func startReplica(t *testing.T, maxAge time.Duration) *replica {
	t.Helper()
	server, err := rpc.NewServer(rpc.ServerConfig{Listen: "127.0.0.1:0", MaxAge: maxAge}, rpc.ServerDeps{
		Log: slog.New(slog.DiscardHandler), Stats: prometheus.NewRegistry(), Traces: noop.NewTracerProvider(),
	})
	require.NoError(t, err)
	r := &replica{}
	ledgerv1.RegisterLedgerServiceServer(server, &teller{answer: func(context.Context) error { r.calls.Add(1); return nil }})
	lis, err := server.Listen(t.Context())
	require.NoError(t, err)
	r.address = lis.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, []net.Listener{lis}...) }()
	ended := false
	r.stop = func() {
		if !ended {
			ended = true
			stop()
			require.NoError(t, <-served)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// dialName dials a name that stands for whatever addresses the resolver is told.
func dialName(t *testing.T, names *manual.Resolver) (call func() error) {
	t.Helper()
	conn, err := rpc.Dial(rpc.ClientConfig{Target: names.Scheme() + ":///ledger", DialOptions: []grpc.DialOption{grpc.WithResolvers(names)}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	client := ledgerv1.NewLedgerServiceClient(conn)
	return func() error {
		_, err := client.GetLedger(t.Context(), &ledgerv1.GetLedgerRequest{})
		return err
	}
}

func addresses(replicas ...*replica) resolver.State {
	var s resolver.State
	for _, r := range replicas {
		s.Addresses = append(s.Addresses, resolver.Address{Addr: r.address})
	}
	return s
}

func TestCallsAreSpreadOverReplicasAndGoPastOneThatIsAway(t *testing.T) {
	a, b := startReplica(t, 0), startReplica(t, 0)
	names := manual.NewBuilderWithScheme("test")
	names.InitialState(addresses(a, b))
	call := dialName(t, names)
	require.Eventually(t, func() bool { return call() == nil && a.calls.Load() > 0 && b.calls.Load() > 0 }, 10*time.Second, time.Millisecond)
	before := [2]int64{a.calls.Load(), b.calls.Load()}
	for range 100 {
		require.NoError(t, call())
	}
	require.InDelta(t, 50, a.calls.Load()-before[0], 1)
	require.InDelta(t, 50, b.calls.Load()-before[1], 1)

	a.stop()
	require.Eventually(t, func() bool { return call() == nil }, 10*time.Second, time.Millisecond)
	for range 100 {
		require.NoError(t, call(), "the other answers")
	}
	b.stop()
	require.Error(t, call())
}

// A client that has a connection looks no further: it must be made to, or a
// replica that came later stays idle.
func TestAReplicaThatComesLaterIsFound(t *testing.T) {
	a, b := startReplica(t, 50*time.Millisecond), startReplica(t, 50*time.Millisecond)
	names := manual.NewBuilderWithScheme("test")
	names.InitialState(addresses(a))
	asked := make(chan struct{}, 1)
	names.ResolveNowCallback = func(resolver.ResolveNowOptions) {
		select {
		case asked <- struct{}{}:
		default:
		}
	}
	call := dialName(t, names)
	require.NoError(t, call())
	require.Zero(t, b.calls.Load())
	select {
	case <-asked:
	case <-time.After(20 * time.Second):
		t.Fatal("the client never asks again")
	}
	names.UpdateState(addresses(a, b))
	require.Eventually(t, func() bool { return call() == nil && b.calls.Load() > 0 }, 10*time.Second, time.Millisecond)
}
