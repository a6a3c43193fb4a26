package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// refusing is a store that refuses one table; it remembers the others.
type refusing struct {
	table string
	mu    sync.Mutex
	wrote []string
}

var errRefused = errors.New("refused")

func (r *refusing) Insert(_ context.Context, table string, _ proto.Input, _ ...clickhouse.Setting) error {
	if table == r.table {
		return errRefused
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrote = append(r.wrote, table)
	return nil
}

// TestRefusedSpansAreNotListed: when spans are refused nothing offers them:
// neither the list of operations nor the ledger.
func TestRefusedSpansAreNotListed(t *testing.T) {
	t.Parallel()
	db := &refusing{table: "spans"}
	w := store.NewWriter(db, store.WriterConfig{})
	m := store.Message{ID: "1", Tenant: "acme", Count: 1, Value: tracetest.Marshal(request(span()))}
	_, err := w.Write(t.Context(), []store.Message{m})
	require.ErrorIs(t, err, errRefused)
	require.NotContains(t, db.wrote, "operations")
	require.NotContains(t, db.wrote, "span_ledger")

	db.table, db.wrote = "", nil
	_, err = w.Write(t.Context(), []store.Message{m})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"spans", "span_index"}, db.wrote[:2])
	require.Equal(t, []string{"operations", "span_ledger"}, db.wrote[2:])
}
