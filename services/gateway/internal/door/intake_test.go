package door_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// scripted is a broker whose n-th call does what the n-th script says, and the
// last one's from then on. It remembers the ids that it stored.
type scripted struct {
	scripts [][]error // by message of the call
	calls   int
	stored  []string

	receipts []*eventv1.Receipt
}

func (s *scripted) Publish(_ context.Context, msgs []broker.Message) error {
	if msgs[0].Topic == event.SpanReceipts {
		for _, m := range msgs {
			r := &eventv1.Receipt{}
			if err := proto.Unmarshal(m.Value, r); err != nil {
				return err
			}
			s.receipts = append(s.receipts, r)
		}
		return nil
	}
	script := s.scripts[min(s.calls, len(s.scripts)-1)]
	s.calls++
	errs := make([]error, len(msgs))
	copy(errs, script)
	for i, m := range msgs {
		if errs[i] == nil {
			s.stored = append(s.stored, m.ID)
		}
	}
	return broker.Published(errs)
}

func (s *scripted) Close(context.Context) error { return nil }

func load(counts ...int) *door.Load {
	l := &door.Load{Tenant: "acme", Time: time.Unix(1, 0), Rejected: maps.All(map[string]int{"bad": 1})}
	for _, n := range counts {
		l.Parcels = append(l.Parcels, door.Parcel{Value: []byte("v"), Count: n})
	}
	return l
}

func TestTakeTriesAgainWhatFailsAlone(t *testing.T) {
	t.Parallel()
	away, unknown, refused := broker.ErrUnavailable, broker.ErrUnknownOutcome, broker.ErrTooLarge
	for name, c := range map[string]struct {
		scripts  [][]error
		calls    int
		accepted int
		err      error
		refused  []int
	}{
		"all well":                         {[][]error{{}}, 1, 111, nil, nil},
		"one of three, then well":          {[][]error{{nil, away}, {}}, 2, 111, nil, nil},
		"one of three for ever":            {[][]error{{nil, away}, {away}}, 4, 101, away, nil},
		"the broker takes none":            {[][]error{{away, away, away}}, 1, 0, away, nil},
		"all unknown, then known":          {[][]error{{unknown, unknown, unknown}, {}}, 2, 111, nil, nil},
		"unknown stays unknown":            {[][]error{{unknown, away, away}, {away, away, away}}, 4, 0, away, nil},
		"one refused for good":             {[][]error{{nil, refused}}, 1, 101, nil, []int{1}},
		"one refused, one away, then well": {[][]error{{nil, refused, away}, {}}, 2, 101, nil, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				publisher := &scripted{scripts: c.scripts}
				counted := map[string]int{}
				x := door.NewIntake(door.IntakeConfig{
					Topic: event.Spans, Type: event.TypeTraces, Receipts: event.SpanReceipts,
					Count: func(outcome string, n int) { counted[outcome] += n },
				}, "gw-1", publisher)
				l := load(1, 10, 100)
				var refused []int
				l.Refused = func(i int) { refused = append(refused, i) }
				accepted, err := x.Take(t.Context(), l)
				require.Equal(t, c.accepted, accepted)
				require.ErrorIs(t, err, c.err)
				require.Equal(t, c.refused, refused)
				require.Equal(t, c.calls, publisher.calls)
				slices.Sort(publisher.stored)
				require.Len(t, slices.Compact(publisher.stored), len(publisher.stored), "stored twice")
				require.Equal(t, accepted, counted["accepted"])
				if c.err != nil {
					require.Empty(t, publisher.receipts, "nobody is told, so nobody waits")
					require.Zero(t, counted["bad"], "it comes again, with what is bad of it")
					return
				}
				require.Len(t, publisher.receipts, 1)
				account := publisher.receipts[0].GetAccounts()[0]
				items := 0
				for _, l := range account.GetLanes() {
					require.EqualValues(t, 1, l.GetMessages())
					items += int(l.GetItems())
				}
				require.Equal(t, accepted, items)
				require.Equal(t, map[string]uint64{"bad": 1}, account.GetRejected())
			})
		})
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	b := door.NewBudget(100)
	one, two := b.Lease(), b.Lease()
	require.True(t, one.Grow(60))
	require.False(t, two.Grow(41))
	require.Zero(t, two.Held(), "left as it was")
	require.True(t, one.Resize(40))
	require.True(t, two.Grow(41))
	require.False(t, two.Spare(1), "half of it is for others")
	require.EqualValues(t, 81, b.Used())
	one.Free()
	require.True(t, two.Spare(9))
	two.Free()
	two.Free()
	require.Zero(t, b.Used())
}
