package query_test

import (
	"math/rand/v2"
	"testing"

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
