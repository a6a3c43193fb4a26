package door_test

import (
	"fmt"
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

func number(t *testing.T, ticket door.Ticket) uint64 {
	t.Helper()
	instance, n, ok := envelope.SplitSeq(ticket.Seq())
	require.True(t, ok)
	require.Equal(t, "gw-1", instance)
	return n
}

func TestSequenceHasNoGaps(t *testing.T) {
	t.Parallel()
	s := door.NewSequence("gw-1")
	one, two := s.Take(), s.Take()
	require.EqualValues(t, 1, number(t, one))
	require.EqualValues(t, 2, number(t, two))
	s.Published(two)
	s.Failed(one)
	again := s.Take()
	require.EqualValues(t, 1, number(t, again), "a number that was certainly not used is used again")
	require.Empty(t, again.Void())

	s.Unknown(again)
	three := s.Take()
	require.EqualValues(t, 3, number(t, three))
	require.Equal(t, "1", three.Void(), "a number of unknown fate is told to be void")
	four := s.Take()
	require.Empty(t, four.Void(), "once")

	s.Unknown(three) // it may not have arrived: tell again, with its own
	five := s.Take()
	require.ElementsMatch(t, []string{"1", "3"}, strings.Split(five.Void(), ","))
	s.Failed(five)
	require.Equal(t, five.Void(), s.Take().Void())
	s.Published(four)
}

func TestSequenceIsBoundedWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	s := door.NewSequence("gw-1")
	for range 50_000 {
		s.Unknown(s.Take())
	}
	told := map[string]bool{}
	highest := uint64(0)
	for {
		ticket := s.Take()
		require.LessOrEqual(t, len(ticket.Void()), 1024)
		if ticket.Void() == "" {
			break
		}
		for n := range strings.SplitSeq(ticket.Void(), ",") {
			told[n] = true
		}
		told[fmt.Sprint(number(t, ticket))] = true
		highest = max(highest, number(t, ticket))
	}
	require.Less(t, highest, uint64(10_000), "numbers are used again")
	for n := uint64(1); n < highest; n++ {
		require.True(t, told[fmt.Sprint(n)], "%d is neither used nor void", n)
	}
}

func TestSequenceConcurrently(t *testing.T) {
	t.Parallel()
	s := door.NewSequence("gw-1")
	var mu sync.Mutex
	used := map[string]bool{}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				ticket := s.Take()
				if (i+g)%3 == 0 {
					s.Failed(ticket)
					continue
				}
				mu.Lock()
				require.False(t, used[ticket.Seq()], "given out twice")
				used[ticket.Seq()] = true
				mu.Unlock()
				s.Published(ticket)
			}
		})
	}
	all.Wait()
	last := s.Take()
	require.LessOrEqual(t, int(number(t, last)), len(used)+8)
}
