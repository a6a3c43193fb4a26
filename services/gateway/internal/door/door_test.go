package door_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

func TestCountersCountPerTenantSignalAndReason(t *testing.T) {
	t.Parallel()
	c := door.NewCounters("gw-1")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				c.Accept("a", "spans", 3)
				c.Reject("a", "spans", "trace_id_zero", 1)
				c.Reject("a", "records", "unknown_profile", 2)
				c.Accept("b", "spans", 1)
				c.Accept("c", "spans", 0)
			}
		})
	}
	all.Wait()
	require.ElementsMatch(t, []door.Count{
		{Tenant: "a", Signal: "spans", Accepted: 2400, Rejected: map[string]uint64{"trace_id_zero": 800}},
		{Tenant: "a", Signal: "records", Rejected: map[string]uint64{"unknown_profile": 1600}},
		{Tenant: "b", Signal: "spans", Accepted: 800, Rejected: map[string]uint64{}},
	}, c.Snapshot())

	d := c.Door("a", "spans")
	require.Equal(t, "gw-1", d.Instance)
	require.EqualValues(t, 3200, d.Accepted, "the ledger's accepted holds the rejected")
	require.EqualValues(t, 800, d.Rejected["trace_id_zero"])
	require.Zero(t, c.Door("nobody", "spans").Accepted)
}

// read takes a ticket's header apart.
func read(t *testing.T, ticket door.Ticket) (lane string, n uint64) {
	t.Helper()
	lane, n, ok := envelope.SplitSeq(ticket.Seq())
	require.True(t, ok)
	process, _, _ := strings.Cut(lane, "/")
	require.Equal(t, "gw-1", process)
	return lane, n
}

func TestSequenceTellsWhatWasInVain(t *testing.T) {
	t.Parallel()
	s := door.NewSequence("gw-1")
	one := s.Take()
	require.Equal(t, "gw-1/1:1", one.Seq())
	s.Failed(one)
	one = s.Take()
	require.Equal(t, "gw-1/1:1", one.Seq(), "a number that was certainly not used is used again")
	s.Unknown(one)

	two := s.Take()
	require.Equal(t, "gw-1/1:2", two.Seq())
	require.Equal(t, "1", two.Void(), "a number of unknown fate is told to be void")
	s.Unknown(two) // the message that told of it may not have arrived either
	three := s.Take()
	require.Equal(t, "gw-1/1:3", three.Seq())
	require.Equal(t, "1,2", three.Void())
	s.Published(three)
	four := s.Take()
	require.Equal(t, "gw-1/1:4", four.Seq())
	require.Empty(t, four.Void(), "told once")
}

func TestSequenceIsBoundedWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	s := door.NewSequence("gw-1")
	for range 10_000 {
		s.Unknown(s.Take())
	}
	ticket := s.Take()
	lane, n := read(t, ticket)
	require.Equal(t, "gw-1/1", lane)
	require.EqualValues(t, 129, n)
	require.Len(t, strings.Split(ticket.Void(), ","), 128)
}

// TestNoGapIsALossAtAnyMoment publishes from many goroutines to a store, with
// failures of both kinds, and looks at the store after every message as if the
// process had been killed right there: below the highest number of each lane
// none is missing that is not void, unless it was acknowledged and lost.
func TestNoGapIsALossAtAnyMoment(t *testing.T) {
	t.Parallel()
	s := door.NewSequence("gw-1")
	var mu sync.Mutex
	known := map[string]map[uint64]bool{}
	highest := map[string]uint64{}
	store := func(ticket door.Ticket) {
		mu.Lock()
		defer mu.Unlock()
		lane, n := read(t, ticket)
		if known[lane] == nil {
			known[lane] = map[uint64]bool{}
		}
		for v := range strings.SplitSeq(ticket.Void(), ",") {
			if v, err := strconv.ParseUint(v, 10, 64); err == nil {
				known[lane][v] = true
			}
		}
		known[lane][n] = true
		highest[lane] = max(highest[lane], n)
		for lane, top := range highest {
			require.Len(t, known[lane], int(top), "gap in %s", lane)
		}
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 300 {
				ticket := s.Take()
				switch (i*7 + g) % 5 {
				case 0:
					s.Failed(ticket)
				case 1:
					s.Unknown(ticket) // not stored
				case 2:
					store(ticket)
					s.Unknown(ticket) // stored, but nobody knows
				default:
					store(ticket)
					s.Published(ticket)
				}
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, len(highest), 8, "as many lanes as were used at once")
}
