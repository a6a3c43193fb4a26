package drift_test

import (
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Scores that were stored before there were monitors are those of the monitor
// that old profiles have now.
func TestScoresFromBeforeMonitors(t *testing.T) {
	db := clickhousetest.Open(t)
	old := fstest.MapFS{}
	for _, name := range []string{"001_cells.sql", "002_scores.sql", "003_losers.sql"} {
		text, err := os.ReadFile("../internal/store/migrations/clickhouse/" + name)
		require.NoError(t, err)
		old[name] = &fstest.MapFile{Data: text}
	}
	require.NoError(t, db.Migrate(t.Context(), "drift", old))
	const uid = "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11"
	for _, value := range []string{"0.1", "0.2"} { // the later one is right
		require.NoError(t, db.Exec(t.Context(), `INSERT INTO scores VALUES ('acme', '`+uid+`', '2026-11-21 12:00:00', 'schedule', 3, 'psi',
			'2026-11-21 11:00:00', '2026-11-21 12:00:00', 9, 'drift', `+value+`, 0.05, 8, 7, [5, 3, 1, 0, 0, 0, 0], [0.1, 0.1],
			'[[{"record":"r","trace":"t"}]]', '2026-11-21 12:00:0`+value[2:]+`')`))
	}
	cells := store.NewCells(db)
	require.NoError(t, cells.Migrate(t.Context()))
	require.NoError(t, cells.Migrate(t.Context()))
	got, err := cells.ListScores(t.Context(), "acme", uid, store.After{}, 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, noon, got[0].Slot)
	require.Equal(t, noon.Add(-time.Hour), got[0].Start)
	require.Len(t, got[0].Scores, 1)
	s := got[0].Scores[0]
	require.Equal(t, []any{"psi", "psi", 3, score.Drift, 0.2, 0.05, uint64(8), uint64(7)},
		[]any{s.Monitor, s.Detector, s.Feature, s.Verdict, s.Value, s.Threshold, s.Sample, s.Minimum})
	require.Equal(t, []uint64{5, 3, 1, 0, 0, 0, 0}, s.Counts)
	require.Equal(t, "r", got[0].Exemplars[3][0][0].Record)
}
