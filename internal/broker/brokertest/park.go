package brokertest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func parkCases() []testCase {
	return []testCase{
		{name: "ParksWhateverComes", alone: true, run: parksWhateverComes},
		{name: "OutageIsNoAttempt", slow: true, run: outageIsNoAttempt},
	}
}

// bad are messages that nobody can handle, each at an edge of what the broker
// takes; those of a foreign producer are larger than any of ours may be.
func (e *env) bad() []broker.Message {
	limit := e.limit()
	var msgs []broker.Message
	for _, less := range []int{0, 1, 1 << 10, 2 << 10, 4 << 10} {
		m := broker.Message{Topic: e.topic, ID: fmt.Sprint("bad", less)}
		m.Value = bytes.Repeat([]byte{'x'}, limit-less-m.Size())
		msgs = append(msgs, m)
	}
	e.publish(msgs...)
	if e.h.Foreign == nil {
		return msgs
	}
	publish := e.h.Foreign(e, e.server.URL())
	for _, more := range []int{0, 1 << 10, broker.ParkRoom - 64} {
		m := broker.Message{Topic: e.topic, ID: fmt.Sprint("raw", more)}
		m.Value = bytes.Repeat([]byte{'y'}, limit+more-m.Size())
		require.NoError(e, publish(e.ctx, m))
		msgs = append(msgs, m)
	}
	wordy := broker.Message{Topic: e.topic, ID: "wordy", Value: []byte("small"), Headers: []broker.Header{
		{Key: "story", Value: bytes.Repeat([]byte("long "), 8<<10)}, {Key: "not-text", Value: []byte{'a', 0xff, 'b'}}, {Key: "kept", Value: []byte("yes")},
	}}
	require.NoError(e, publish(e.ctx, wordy))
	return append(msgs, wordy)
}

// A message that cannot be handled leaves the topic however large it is: whole
// where it fits into the DLQ with what is said about it, else cut.
func parksWhateverComes(e *env) {
	e.provision(broker.TopicSpec{})
	want := map[string]broker.Message{}
	e.publish(e.messages("before", 5)...)
	for _, m := range e.bad() {
		want[m.ID] = m
	}
	e.publish(e.messages("after", 5)...)
	var good tally
	all := maps.Clone(want) // the handler's own: want loses what came
	stop := e.runner(runner.Config{
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			vs := make([]runner.Verdict, len(ds))
			for i, d := range ds {
				if _, bad := all[d.ID]; bad {
					vs[i] = runner.Dead(runner.ReasonSchema, errors.New(strings.Repeat("why ", 300)))
				} else {
					good.add(d)
				}
			}
			return vs, nil
		},
	})
	dlq := e.dlqGroup()
	for len(want) > 0 {
		b := e.receive(dlq, 30*time.Second)
		for i := range b.Deliveries {
			e.parkedRight(all, &b.Deliveries[i])
			delete(want, b.Deliveries[i].ID) // again is no harm: delivery is at least once
		}
		require.NoError(e, b.Ack(e.ctx))
	}
	require.True(e, within(10*time.Second, func() bool { return good.len() == 10 }), "neighbours: %d of 10", good.len())
	e.lag(0, 0)
	require.NoError(e, stop())
}

// parkedRight checks a dead letter against the message that was published.
func (e *env) parkedRight(published map[string]broker.Message, d *broker.Delivery) {
	e.Helper()
	m, ok := published[d.ID]
	require.True(e, ok, "parked %q", d.ID)
	require.Equal(e, "schema", d.Header(event.HeaderDLQReason))
	require.Equal(e, e.topic, d.Header(event.HeaderDLQTopic))
	require.True(e, bytes.HasPrefix(m.Value, d.Value), "%s: another value", d.ID)
	_, parking := runner.Unpark(&d.Message)
	if len(parking.Cut) == 0 {
		require.Len(e, d.Value, len(m.Value), "%s: it says that it is whole", d.ID)
		return
	}
	sum := sha256.Sum256(m.Value)
	require.Equal(e, "sha256:"+hex.EncodeToString(sum[:]), parking.Digest)
	require.Equal(e, strconv.Itoa(len(m.Value)), strconv.Itoa(parking.Size))
	if d.ID == "wordy" {
		require.Equal(e, "yes", d.Header("kept"))
		require.Len(e, d.Value, len(m.Value), "what fits is kept")
		return
	}
	require.Equal(e, []string{"value"}, parking.Cut)
	require.Greater(e, len(d.Value), len(m.Value)-3*broker.ParkRoom, "as much as fits is kept")
}

// While a neighbour is away messages are given back far more often than any
// limit allows, by two workers and, after a restart, by two others that know
// nothing of that. None is parked for it, and each is the message that it was.
func outageIsNoAttempt(e *env) {
	const n, attempts, crashes = 12, 2, 3
	// Redis looks for what another worker gave back a few times in a lease.
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: e.group, AckWait: 3 * time.Second})
	e.publish(e.messages("m", n)...)
	var away atomic.Bool
	away.Store(true)
	var tries, done, ids tally
	worker := func() (stop func() error) {
		return e.runner(runner.Config{
			Broker: e.dial(), MaxAttempts: attempts, MaxCrashes: crashes,
			Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
				if !away.Load() {
					done.add(ds...)
					for _, d := range ds {
						ids.add(broker.Delivery{Message: broker.Message{Value: []byte(cmp.Or(d.Header(event.HeaderOrigin), d.ID))}})
					}
					return nil, nil
				}
				tries.add(ds...)
				vs := make([]runner.Verdict, len(ds))
				for i := range vs {
					vs[i] = runner.Retry(5*time.Millisecond, fault.Unavailable.New("the neighbour is away"))
				}
				return vs, nil
			},
			OnPark: func(_ context.Context, d *broker.Delivery, p runner.Park) error {
				e.Errorf("parked %q after %d attempts for %s", d.Value, p.Attempts, p.Reason)
				return nil
			},
		})
	}
	for round := 1; round <= 2; round++ {
		first, second := worker(), worker()
		require.True(e, within(40*time.Second, func() bool {
			for _, v := range names("m", n) {
				if tries.of(v) < round*(attempts+crashes+3) {
					return false
				}
			}
			return true
		}), "round %d", round)
		require.NoError(e, first())
		require.NoError(e, second())
	}
	away.Store(false)
	stop := worker()
	require.True(e, within(20*time.Second, func() bool { return done.len() == n }), "%d of %d are done", done.len(), n)
	e.lag(0, 0)
	require.NoError(e, stop())
	for _, v := range names("m", n) {
		require.Positive(e, ids.of(v), "%s is known by the id that it had", v)
	}
}
