package mesh

import (
	"context"
	"encoding/hex"
	"log/slog"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/bench/load"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/test/server"
)

// OpenStore opens the ClickHouse data of a stopped all-in-one with an engine
// of its own, and returns its URL.
func (m *Mesh) OpenStore() string {
	m.t.Helper()
	library, err := embedded.Fetch(context.Background(), embedded.Source{})
	require.NoError(m.t, err)
	program := Binary(m.t, "./cmd/driftmesh")
	engine, err := embedded.Start(context.Background(), embedded.Config{
		Library: library, Path: filepath.Join(m.Dir, "data", "clickhouse"), Log: slog.New(slog.DiscardHandler),
		Command: func() *exec.Cmd { return exec.Command(program, "engine") },
	})
	require.NoError(m.t, err)
	m.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = engine.Stop(ctx)
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(m.t, engine.Ready(ctx))
	return engine.URL() + "driftmesh"
}

// RequireStored requires that every span of the acknowledged requests is in
// otel_traces exactly once, and that nothing is there twice.
func RequireStored(t server.T, url string, seed uint64, acknowledged []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	db, err := clickhouse.Open(ctx, clickhouse.Config{URL: url})
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.Query(ctx, "SELECT TraceId, SpanId FROM otel_traces WHERE Tenant = 'default'")
	require.NoError(t, err)
	defer rows.Close()
	stored := map[string]int{}
	for rows.Next() {
		var trace, span string
		require.NoError(t, rows.Scan(&trace, &span))
		stored[trace+span]++
	}
	require.NoError(t, rows.Err())
	twice, lost := 0, 0
	for _, n := range stored {
		if n > 1 {
			twice++
		}
	}
	for _, n := range acknowledged {
		for i := range load.SpansPerRequest {
			trace, span := load.TraceID(seed, n, i/(load.SpansPerRequest/load.TracesPerRequest)), load.SpanID(seed, n, i)
			if stored[hex.EncodeToString(trace[:])+hex.EncodeToString(span[:])] == 0 {
				lost++
			}
		}
	}
	require.Zero(t, twice, "spans stored more than once")
	require.Zero(t, lost, "acknowledged spans that are not stored")
}
