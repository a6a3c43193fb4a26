package scouter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

// openStore opens a mesh's store.
func openStore(t *testing.T, url string) *clickhouse.DB {
	t.Helper()
	db, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// records are all records of the tenant default as readers see them, and how many rows of
// one table each has: metrics that are judged are in two. What evaluations come to is
// nobody's record.
const records = `SELECT toString(Profile), RecordId, max(Rows) FROM
(
	SELECT Profile, RecordId, count() AS Rows FROM contexts FINAL WHERE Tenant = 'default' GROUP BY ALL
	UNION ALL SELECT Profile, RecordId, count() FROM observations FINAL WHERE Tenant = 'default' AND Profile NOT IN (SELECT Profile FROM contexts) GROUP BY ALL
	UNION ALL SELECT Profile, RecordId, count() FROM metric_records FINAL WHERE Tenant = 'default' AND Profile NOT IN (SELECT Profile FROM contexts) GROUP BY ALL
) GROUP BY ALL`

// spans are all spans of stream.py.
const spans = `SELECT TraceId, SpanId, count() FROM otel_traces WHERE Tenant = 'default' AND startsWith(ServiceName, 'drive-stream') GROUP BY ALL`

// counts reads how often each pair of names is there.
func counts(t *testing.T, db *clickhouse.DB, query string) map[[2]string]uint64 {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	out := map[[2]string]uint64{}
	for rows.Next() {
		var key [2]string
		var n uint64
		require.NoError(t, rows.Scan(&key[0], &key[1], &n))
		out[key] = n
	}
	require.NoError(t, rows.Err())
	return out
}

// requireOnce requires that what was acknowledged is stored, that nothing is twice, and
// that nothing is there that was not sent. It gives how much was stored without anybody
// knowing: sent, and killed before the answer.
func requireOnce[M any](t *testing.T, what string, acknowledged, sent map[[2]string]M, stored map[[2]string]uint64) (unknown int) {
	t.Helper()
	require.NotEmpty(t, acknowledged, what)
	lost, twice, strange := 0, 0, 0
	for key := range acknowledged {
		if stored[key] == 0 {
			lost++
		}
	}
	for key, n := range stored {
		if n > 1 {
			twice++
		}
		if _, ok := sent[key]; !ok {
			strange++
		} else if _, ok := acknowledged[key]; !ok {
			unknown++
		}
	}
	require.Equal(t, [3]int{}, [3]int{lost, twice, strange}, "%s: lost, twice, never sent; %d acknowledged, %d stored", what, len(acknowledged), len(stored))
	return unknown
}
