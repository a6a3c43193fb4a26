package query_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

func TestLedger(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(1, 1))
	one, two, three := tracetest.Realistic(r, scaleBase), tracetest.Realistic(r, scaleBase), tracetest.Realistic(r, scaleBase)
	a, b := f.message("acme", one), f.message("acme", two) // door 1, 2
	again := f.message("acme", one)                        // door 3: the client sent one again
	again.Seq, again.Void = 6, []uint64{4}                 // 3 and 5 never came
	other := f.message("other", three)
	other.Seq = 3
	f.write(a, b)
	f.write(a) // delivered again
	f.write(again, other)
	own := f.message("acme", three)
	own.Instance, own.Seq = "", 0
	f.write(own)
	parked := f.message("acme", three)
	parked.Instance, parked.Seq = "door-2", 1
	require.NoError(t, f.writer.Settle(t.Context(), []store.Entry{
		{Message: &parked, Accepted: 100, DeadLettered: map[string]int{"decode": 100}},
	}))

	got, err := f.reader.Ledger(t.Context(), "acme")
	require.NoError(t, err)
	none := map[string]uint64{}
	require.Equal(t, query.Ledger{Stored: 300, Instances: []query.Settled{
		{Instance: "", Accepted: 100, Written: 100, Messages: 1, Rejected: none, DeadLettered: none},
		{Instance: "door", Accepted: 300, Written: 300, Messages: 3, MissingMessages: 1, Rejected: none, DeadLettered: none},
		{Instance: "door-2", Accepted: 100, Messages: 1, Rejected: none, DeadLettered: map[string]uint64{"decode": 100}},
	}}, got)

	// What was parked is stored after all: the last word counts.
	f.write(parked)
	got, err = f.reader.Ledger(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, uint64(300), got.Stored)
	require.Equal(t, query.Settled{Instance: "door-2", Accepted: 100, Written: 100, Messages: 1, Rejected: none, DeadLettered: none}, got.Instances[2])
}

// TestTwiceOnTwoDays: a client's retry a day later lies in another partition,
// where merges cannot find its twin; readers do.
func TestTwiceOnTwoDays(t *testing.T) {
	f := setup(t, query.Limits{})
	data := tracetest.Realistic(rand.New(rand.NewPCG(1, 1)), scaleBase)
	today, tomorrow := f.message("acme", data), f.message("acme", data)
	tomorrow.ReceivedAt = today.ReceivedAt.Add(24 * time.Hour)
	f.write(today)
	f.write(tomorrow)

	ledger, err := f.reader.Ledger(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, uint64(100), ledger.Stored)
	require.Equal(t, uint64(200), ledger.Instances[0].Written)
	var rows, raw uint64
	require.NoError(t, f.db.QueryRow(t.Context(), "SELECT count() FROM otel_traces").Scan(&rows))
	require.NoError(t, f.db.QueryRow(t.Context(), "SELECT count() FROM spans").Scan(&raw))
	require.Equal(t, []uint64{100, 200}, []uint64{rows, raw})
	id := data.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId
	require.Len(t, tracetest.Canonical(f.trace("acme", id)), 10)
	found, _, err := f.reader.Summaries(t.Context(), "acme", query.Search{Limit: 100})
	require.NoError(t, err)
	require.Len(t, found, 10)
	require.Equal(t, 10, found[0].Spans)
}

func TestRetention(t *testing.T) {
	f := setup(t, query.Limits{})
	ttl := func() (engine string) {
		require.NoError(t, f.db.QueryRow(t.Context(), "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'spans'").Scan(&engine))
		return engine
	}
	require.NotContains(t, ttl(), " TTL ")
	require.NoError(t, store.SetRetention(t.Context(), f.db, 0))
	for range 2 {
		require.NoError(t, store.SetRetention(t.Context(), f.db, 48*time.Hour))
		require.Contains(t, ttl(), "TTL toDateTime(ReceivedAt) + toIntervalSecond(172800)")
	}
	require.NoError(t, store.SetRetention(t.Context(), f.db, 24*time.Hour))
	require.Contains(t, ttl(), "toIntervalSecond(86400)")

	old := f.message("acme", tracetest.Realistic(rand.New(rand.NewPCG(1, 1)), scaleBase))
	old.ReceivedAt = time.Now().Add(-72 * time.Hour)
	f.write(old)
	require.NoError(t, f.db.Exec(t.Context(), "OPTIMIZE TABLE spans FINAL"))
	var n uint64
	require.NoError(t, f.db.QueryRow(t.Context(), "SELECT count() FROM spans").Scan(&n))
	require.Zero(t, n)

	require.NoError(t, store.SetRetention(t.Context(), f.db, 0))
	require.NotContains(t, ttl(), " TTL ")
}
