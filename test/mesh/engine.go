package mesh

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/test/server"
)

// RequireEngine makes sure that the engine library is there; it is fetched if
// need be, so that no program under test has to.
func RequireEngine(t server.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := embedded.Fetch(ctx, embedded.Source{}); err != nil {
		server.Missing(t, "clickhouse", err.Error())
	}
}
