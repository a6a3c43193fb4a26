package rpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/rpc"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// teller answers GetLedger with whatever the test wants to see cross the wire.
type teller struct {
	ledgerv1.UnimplementedLedgerServiceServer
	answer func(context.Context) error
}

func (s *teller) GetLedger(ctx context.Context, _ *ledgerv1.GetLedgerRequest) (*ledgerv1.GetLedgerResponse, error) {
	return &ledgerv1.GetLedgerResponse{}, s.answer(ctx)
}

func start(t *testing.T, s *teller, authenticate rpc.Authenticate) (*grpc.ClientConn, func()) {
	t.Helper()
	server, err := rpc.NewServer(rpc.ServerConfig{Listen: "127.0.0.1:0", DrainTimeout: 2 * time.Second}, rpc.ServerDeps{
		Log: slog.New(slog.DiscardHandler), Stats: prometheus.NewRegistry(), Traces: noop.NewTracerProvider(), Authenticate: authenticate,
	})
	require.NoError(t, err)
	ledgerv1.RegisterLedgerServiceServer(server, s)
	lis, err := server.Listen(t.Context())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, []net.Listener{lis}...) }()
	conn, err := rpc.Dial(rpc.ClientConfig{Target: lis.Addr().String()})
	require.NoError(t, err)
	shut := func() {
		stop()
		require.NoError(t, <-served)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, shut
}

func TestFaultsCrossTheWireWithoutTheirCause(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.7: password hunter2")
	for _, row := range []struct {
		name    string
		answer  error
		kind    fault.Kind
		message string
	}{
		{"fault", fault.NotFound.Wrap(secret, "profile %q", "x"), fault.NotFound, `profile "x"`},
		{"unknown error", secret, fault.Internal, "internal error"},
		{"wrapped neighbour status", errors.Join(secret, status.Error(codes.Aborted, "again")), fault.Conflict, "again"},
		{"deadline", context.DeadlineExceeded, fault.Timeout, "the call took too long"},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn, shut := start(t, &teller{answer: func(context.Context) error { return row.answer }}, nil)
			defer shut()
			_, err := ledgerv1.NewLedgerServiceClient(conn).GetLedger(t.Context(), &ledgerv1.GetLedgerRequest{})
			require.ErrorIs(t, err, row.kind)
			require.Equal(t, row.message, fault.Of(err).Message())
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestReasonAndRetryHintCrossTheWire(t *testing.T) {
	conn, shut := start(t, &teller{answer: func(context.Context) error {
		return fault.Unavailable.New("full").WithReason("DOOR_FULL").WithRetryAfter(3 * time.Second)
	}}, nil)
	defer shut()
	_, err := ledgerv1.NewLedgerServiceClient(conn).GetLedger(t.Context(), &ledgerv1.GetLedgerRequest{})
	f := fault.Of(err)
	require.Equal(t, "DOOR_FULL", f.Reason())
	require.Equal(t, 3*time.Second, f.RetryAfter())
}

func TestPanicInAHandlerIsAnInternalErrorAndTheServerLives(t *testing.T) {
	first := true
	conn, shut := start(t, &teller{answer: func(context.Context) error {
		if first {
			first = false
			var m map[string]int
			m["x"] = 1 //nolint:staticcheck // the panic is wanted
		}
		return nil
	}}, nil)
	defer shut()
	client := ledgerv1.NewLedgerServiceClient(conn)
	_, err := client.GetLedger(t.Context(), &ledgerv1.GetLedgerRequest{})
	require.ErrorIs(t, err, fault.Internal)
	_, err = client.GetLedger(t.Context(), &ledgerv1.GetLedgerRequest{})
	require.NoError(t, err)
}

func TestNobodyGetsInUnauthenticatedButHealthIsOpen(t *testing.T) {
	called := false
	conn, shut := start(t, &teller{answer: func(context.Context) error { called = true; return nil }},
		func(context.Context, string) (context.Context, error) {
			return nil, fault.Unauthenticated.New("who are you?")
		})
	defer shut()
	_, err := ledgerv1.NewLedgerServiceClient(conn).GetLedger(t.Context(), &ledgerv1.GetLedgerRequest{})
	require.ErrorIs(t, err, fault.Unauthenticated)
	require.False(t, called)
	answer, err := healthgrpc.NewHealthClient(conn).Check(t.Context(), &healthgrpc.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, healthgrpc.HealthCheckResponse_SERVING, answer.GetStatus())
}

func TestCallsAreBoundedInTimeAndFinishWhileStopping(t *testing.T) {
	inside := make(chan struct{})
	release := make(chan struct{})
	conn, shut := start(t, &teller{answer: func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			return errors.New("no deadline")
		}
		close(inside)
		<-release
		return nil
	}}, nil)
	result := make(chan error, 1)
	go func() {
		_, err := ledgerv1.NewLedgerServiceClient(conn).GetLedger(context.Background(), &ledgerv1.GetLedgerRequest{})
		result <- err
	}()
	<-inside
	stopped := make(chan struct{})
	go func() { shut(); close(stopped) }()
	close(release)
	require.NoError(t, <-result)
	<-stopped
}

func TestServerAwayIsUnavailable(t *testing.T) {
	conn, err := rpc.Dial(rpc.ClientConfig{Target: "127.0.0.1:1"})
	require.NoError(t, err)
	defer conn.Close()
	_, err = ledgerv1.NewLedgerServiceClient(conn).GetLedger(t.Context(), &ledgerv1.GetLedgerRequest{})
	require.ErrorIs(t, err, fault.Unavailable)
}
