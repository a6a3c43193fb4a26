package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// wild is a parked message with everything that may be wrong with one.
func wild() broker.Message {
	hs := []broker.Header{{Key: "UPPER", Value: []byte("x")}, {Key: "twice", Value: []byte("1")}, {Key: "twice", Value: []byte("2")}}
	for i := range 2000 {
		hs = append(hs, broker.Header{Key: fmt.Sprint("many-", i), Value: []byte("header")})
	}
	hs = append(hs, broker.Header{Key: event.HeaderTenant, Value: []byte("acme")})
	return runner.Parked(&broker.Delivery{Message: broker.Message{
		Topic: "spans", ID: strings.Repeat("i", 4000), Key: bytes.Repeat([]byte{1}, 9000), Value: bytes.Repeat([]byte("v"), 1<<20), Headers: hs,
	}}, runner.Park{Reason: "why", Err: errors.New(strings.Repeat("é", 1000)), Group: "g"})
}

// A stand-in is a good message of at most the size asked for, down to the bare
// facts, and says what is missing.
func TestStandInFits(t *testing.T) {
	t.Parallel()
	m := wild()
	require.ErrorIs(t, broker.ValidMessage(&m, 0), broker.ErrInvalid)
	for _, room := range []int{1 << 20, 100 << 10, 20 << 10, 8 << 10, 2 << 10, 0} {
		s := runner.StandIn(&m, room)
		require.NoError(t, broker.ValidMessage(&s, 0))
		require.LessOrEqual(t, s.Size(), max(room, 1<<10))
		out, p := runner.Unpark(&s)
		require.Equal(t, runner.Reason("why"), p.Reason)
		require.Contains(t, p.Cut, "value")
		require.Contains(t, p.Cut, "id")
		require.Contains(t, p.Cut, "headers")
		require.Equal(t, 1<<20, p.Size)
		require.Len(t, p.Digest, len("sha256:")+64)
		if room >= 8<<10 {
			require.Equal(t, "acme", out.Header(event.HeaderTenant))
			require.NotEmpty(t, out.Value)
		}
	}
	small := runner.Parked(&broker.Delivery{Message: broker.Message{Topic: "spans", ID: "x", Value: []byte("v")}}, runner.Park{})
	small.Headers = append(small.Headers, broker.Header{Key: "BAD"})
	s := runner.StandIn(&small, 4<<10)
	out, p := runner.Unpark(&s)
	require.Equal(t, []string{"headers"}, p.Cut)
	require.Equal(t, "v", string(out.Value))
	require.Equal(t, "x", out.ID)
}

// picky is a broker whose DLQ takes only small messages, whatever its
// capabilities say.
type picky struct {
	broker.Broker
	most    int
	refused *atomic.Int32
}

func (b picky) Publisher() (broker.Publisher, error) {
	p, err := b.Broker.Publisher()
	return pickyPublisher{p, b}, err
}

type pickyPublisher struct {
	broker.Publisher
	picky
}

func (p pickyPublisher) Close(ctx context.Context) error { return p.Publisher.Close(ctx) }

func (p pickyPublisher) Publish(ctx context.Context, msgs []broker.Message) error {
	var good []broker.Message
	failed := make([]error, len(msgs))
	for i := range msgs {
		if broker.IsDLQ(msgs[i].Topic) && msgs[i].Size() > p.most {
			p.refused.Add(1)
			failed[i] = broker.ErrTooLarge
			continue
		}
		good = append(good, msgs[i])
	}
	if err := p.Publisher.Publish(ctx, good); err != nil {
		return err
	}
	return broker.Published(failed)
}

// The operator's limit is lower than what the driver believes: smaller stand-ins
// are tried until one is taken. Where none is, the message does not come for
// ever.
func TestAMessageIsParkedInWhatSizeTheBrokerTakes(t *testing.T) {
	t.Parallel()
	for most, parked := range map[int]int{100 << 10: 2, 9 << 10: 2, 1 << 10: 2, 1: 0} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			var refused atomic.Int32
			b := setup(t, func(b broker.Broker) broker.Broker { return picky{b, most, &refused} })
			require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{
				{Topic: "spans", ID: "large", Value: bytes.Repeat([]byte("v"), 500<<10)}, {Topic: "spans", ID: "small", Value: []byte("s")},
			}))
			b.publish("good")
			var told atomic.Int32
			stop := b.run(runner.Config{
				Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
					vs := make([]runner.Verdict, len(ds))
					for i := range ds {
						if ds[i].ID != "good" {
							vs[i] = runner.Dead(runner.ReasonDecode, fault.Invalid.New("no"))
						}
					}
					return vs, nil
				},
				OnPark: func(context.Context, *broker.Delivery, runner.Park) error {
					told.Add(1)
					return nil
				},
			})
			eventually(t, b.settled, "every message has an end")
			require.EqualValues(t, 2, told.Load(), "the books know of both")
			require.NotZero(t, refused.Load())
			lag, err := b.b.Admin().Lag(t.Context(), "spans.dlq", "dlq")
			require.NoError(t, err)
			require.EqualValues(t, parked, lag.Pending, "letters")
			require.NoError(t, stop())
		})
	}
}
