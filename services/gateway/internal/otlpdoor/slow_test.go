package otlpdoor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
	"github.com/driftmesh/driftmesh/test/server"
)

// A thousand callers dribble over gRPC: others are served meanwhile, and after the
// time that a request may take nothing of theirs is held.
func TestAThousandSlowPostsOverGRPCEnd(t *testing.T) {
	t.Parallel()
	const (
		connections, calls = 10, 100
		export             = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	)
	b := start(t, otlpdoor.Config{ReadTimeout: 3 * time.Second})
	var ends []func() []string
	for range connections {
		ends = append(ends, server.SlowPosts(t, b.grpcAddr, export, calls, "x-api-key", "acme-key"))
	}
	require.Eventually(t, func() bool { return b.budget.Used() >= connections*calls*(200<<10) }, 10*time.Second, time.Millisecond, "they are all in")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := b.client.Export(ctx, sample(8))
	require.NoError(t, err)
	for _, end := range ends {
		for _, status := range end() {
			require.Equal(t, "4", status, "DEADLINE_EXCEEDED")
		}
	}
	require.Eventually(t, func() bool { return b.budget.Used() == 0 }, 5*time.Second, time.Millisecond)
	_, err = b.client.Export(t.Context(), sample(8))
	require.NoError(t, err)
}
