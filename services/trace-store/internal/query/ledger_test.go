package query_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/receipt"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// newBook is the ledger over the tables of trace-store, when so many messages
// are pending.
func (f *fixture) newBook(pending *int64) *receipt.Book {
	return receipt.New(receipt.Config{
		Signal: "spans", Receipts: store.ReceiptsTable, Settled: store.LedgerTable, Written: store.LedgerWritten,
	}, f.db, func(_ context.Context, topic, _ string) (broker.Lag, error) {
		return broker.Lag{Pending: *pending, Known: true}, nil
	})
}

func TestLedger(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(1, 1))
	one, two, three := tracetest.Realistic(r, scaleBase), tracetest.Realistic(r, scaleBase), tracetest.Realistic(r, scaleBase)
	a, b := f.message("acme", one), f.message("acme", two) // door 1, 2
	again := f.message("acme", one)                        // door 3: the client sent one again
	other := f.message("other", three)
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

	var pending int64
	book := f.newBook(&pending)
	got, err := book.Settled(t.Context(), "acme")
	require.NoError(t, err)
	type settled = ledgerv1.InstanceSettled
	want := []*settled{
		{Instance: "", Accepted: 100, Written: 100, Messages: 1},
		{Instance: "door", Accepted: 300, Written: 300, Messages: 3},
		{Instance: "door-2", Accepted: 100, Messages: 1, DeadLettered: map[string]uint64{"decode": 100}},
	}
	requireInstances(t, want, got)

	// What was parked is stored after all: the last word counts.
	f.write(parked)
	got, err = book.Settled(t.Context(), "acme")
	require.NoError(t, err)
	want[2] = &settled{Instance: "door-2", Accepted: 100, Written: 100, Messages: 1}
	requireInstances(t, want, got)
	stored, err := f.reader.Stored(t.Context(), "acme", book.Since())
	require.NoError(t, err)
	require.Equal(t, uint64(300), stored)
}

// TestMissing: what is on record and neither settled nor pending, over all
// tenants; of what the broker may hold nothing is said.
func TestMissing(t *testing.T) {
	f := setup(t, query.Limits{})
	data := tracetest.Realistic(rand.New(rand.NewPCG(1, 1)), scaleBase)
	today := time.Now()
	var pending int64
	book := f.newBook(&pending)
	for i, tenant := range []string{"acme", "acme", "other"} {
		m := f.message(tenant, data)
		m.Instance, m.Seq, m.ReceivedAt = "elder", uint64(i+1), today
		f.write(m)
	}
	var r []broker.Delivery
	for tenant, top := range map[string]uint64{"acme": 6, "other": 3} {
		lane := map[string]uint32{"acme": 1, "other": 2}[tenant]
		value, err := proto.Marshal(&eventv1.Receipt{Instance: "gw", Accounts: []*eventv1.ReceiptAccount{{
			Tenant: tenant, Day: uint32(today.Unix() / 86400), Lanes: []*eventv1.ReceiptLane{{Lane: lane, Messages: top, Items: 100 * top}},
		}}})
		require.NoError(t, err)
		r = append(r, broker.Delivery{Message: envelope.New(event.SpanReceipts, envelope.Stamp{Type: event.TypeReceipt}, value)})
	}
	verdicts, err := book.Handle(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []runner.Verdict{runner.Done(), runner.Done()}, verdicts)
	for held, want := range map[int64]uint64{0: 9, 4: 5, 9: 0, 100: 0} { // none of the lanes on record was settled
		pending = held
		n, err := book.Missing(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, n, "with %d pending", held)
	}
}

func requireInstances(t *testing.T, want []*ledgerv1.InstanceSettled, got *ledgerv1.GetSettledResponse) {
	t.Helper()
	require.Len(t, got.GetInstances(), len(want))
	for i, w := range want {
		require.Truef(t, proto.Equal(w, got.GetInstances()[i]), "want %v\ngot  %v", w, got.GetInstances()[i])
	}
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

	stored, err := f.reader.Stored(t.Context(), "acme", time.Unix(0, 0))
	require.NoError(t, err)
	require.Equal(t, uint64(100), stored)
	var pending int64
	ledger, err := f.newBook(&pending).Settled(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, uint64(200), ledger.GetInstances()[0].GetWritten())
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
