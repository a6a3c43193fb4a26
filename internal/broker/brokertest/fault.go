package brokertest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func faultCases() []testCase {
	return []testCase{
		{name: "PublishDurableOnReturn", fault: true, run: publishDurableOnReturn},
		{name: "BrokerRestartWhilePublishing", fault: true, run: brokerRestartWhilePublishing},
		{name: "BrokerRestartWhileConsuming", fault: true, run: brokerRestartWhileConsuming},
		{name: "BrokerDownAtStart", fault: true, run: brokerDownAtStart},
		{name: "FailsFastWhileDown", fault: true, run: failsFastWhileDown},
		{name: "ConsumerKill9MidBatch", fault: true, run: consumerKill9MidBatch},
		{name: "PoisonCrashLoop", fault: true, run: poisonCrashLoop},
	}
}

func publishDurableOnReturn(e *env) {
	e.provision(broker.TopicSpec{})
	e.publish(e.messages("m", 500)...)
	e.server.Kill()
	e.server.Restart()
	seen := e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 500, 30*time.Second)
	require.Len(e, seen, 500)
	e.lag(0, 0)
}

// outcomes are the fates of published messages.
type outcomes struct {
	mu                     sync.Mutex
	acked, unknown, failed map[string]bool
	lastAck                time.Time
	gap                    time.Duration // the longest time without an ack
	errs                   []error
}

func (o *outcomes) note(msgs []broker.Message, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bad := map[int]error{}
	if pe, ok := errors.AsType[*broker.PublishError](err); ok {
		for _, f := range pe.Failed {
			bad[f.Index] = f.Err
		}
	} else if err != nil {
		o.errs = append(o.errs, err)
	}
	for i, m := range msgs {
		switch e := bad[i]; {
		case e == nil:
			o.acked[m.ID] = true
			now := time.Now()
			o.gap = max(o.gap, now.Sub(o.lastAck))
			o.lastAck = now
		case errors.Is(e, broker.ErrUnknownOutcome):
			o.unknown[m.ID] = true
		case isPassing(e):
			o.failed[m.ID] = true
		default:
			o.errs = append(o.errs, e)
		}
	}
}

func (o *outcomes) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acked)
}

func brokerRestartWhilePublishing(e *env) {
	e.provision(broker.TopicSpec{})
	o := &outcomes{acked: map[string]bool{}, unknown: map[string]bool{}, failed: map[string]bool{}, lastAck: time.Now()}
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				msgs := e.messages(fmt.Sprintf("c%d-%d-", caller, n), 20)
				o.note(msgs, e.pub.Publish(e.ctx, msgs))
				time.Sleep(time.Millisecond) // steady load, not a flood
			}
		})
	}
	enough := func(more int) func() bool {
		want := o.count() + more
		return func() bool { return o.count() >= want }
	}
	require.True(e, within(10*time.Second, enough(2000)))
	e.server.Kill()
	time.Sleep(500 * time.Millisecond) // the broker is away that long
	e.server.Restart()
	require.True(e, within(15*time.Second, enough(2000)), "the publisher recovers")
	close(stop)
	callers.Wait()
	require.Empty(e, o.errs)
	require.NotEmpty(e, o.failed, "while it was down, it said so")

	c := e.consumer(e.b, broker.ConsumerConfig{})
	seen := e.drain(c, len(o.acked), 30*time.Second)
	extra, dup := 0, 0
	for more := true; more; {
		lag, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
		require.NoError(e, err)
		if more = lag.Total() > 0; more {
			b := e.receive(c, 10*time.Second)
			for _, d := range b.Deliveries {
				seen[string(d.Value)]++
			}
			require.NoError(e, b.Ack(e.ctx))
		}
	}
	for v, n := range seen {
		dup += n - 1
		if !o.acked[v] {
			extra++
			require.True(e, o.unknown[v], "message %q is stored, and was reported as not", v)
		}
	}
	for v := range o.acked {
		require.Positive(e, seen[v], "message %q was acknowledged and is gone", v)
	}
	e.Logf("acked %d, unknown %d (%d of them stored), refused while down %d, duplicates %d, longest gap %v",
		len(o.acked), len(o.unknown), extra, len(o.failed), dup, o.gap)
}

func brokerRestartWhileConsuming(e *env) {
	wait := 3 * time.Second
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: e.group, AckWait: wait})
	const n = 2000
	e.publish(e.messages("m", n)...)
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 100, MaxInFlight: 4})
	held := []*broker.Batch{e.receive(c, 5*time.Second), e.receive(c, 5*time.Second)}
	acked := map[string]bool{}
	b := e.receive(c, 5*time.Second)
	require.NoError(e, b.Ack(e.ctx))
	for _, v := range values(b) {
		acked[v] = true
	}
	e.server.Kill()
	time.Sleep(500 * time.Millisecond) // the broker is away that long
	e.server.Restart()
	// Settling across the restart either works or says the lease is lost.
	seen, maybe, again := map[string]int{}, map[string]bool{}, 0
	for _, b := range held {
		err := b.Ack(e.ctx)
		if err == nil {
			for _, v := range values(b) {
				acked[v] = true
			}
			continue
		}
		require.True(e, errors.Is(err, broker.ErrLeaseLost) || isPassing(err), "%v", err)
		for _, v := range values(b) {
			maybe[v] = true // the broker may have heard some of it
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for left := n; left > 0 && time.Now().Before(deadline); {
		b := e.receive(c, 20*time.Second)
		for _, v := range values(b) {
			if acked[v] {
				again++
				continue
			}
			seen[v]++
		}
		require.NoError(e, b.Ack(e.ctx))
		lag, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
		require.NoError(e, err)
		left = int(lag.Total())
	}
	for _, v := range names("m", n) {
		require.True(e, seen[v] > 0 || acked[v] || maybe[v], "message %q is gone", v)
	}
	e.Logf("acknowledged before the kill %d, delivered again of those %d", len(acked), again)
	e.lag(0, 0)
}

func brokerDownAtStart(e *env) {
	e.provision(broker.TopicSpec{})
	e.server.Kill()
	b, err := e.h.Open(e.ctx, e.server.URL(), nil)
	require.NoError(e, err, "opening succeeds while the broker is away")
	defer b.Close(e.ctx)
	require.ErrorIs(e, b.Ping(e.ctx), broker.ErrUnavailable)
	pub := e.publisher(b)
	require.ErrorIs(e, pub.Publish(e.ctx, e.messages("m", 1)), broker.ErrUnavailable)
	c := e.consumer(b, broker.ConsumerConfig{})
	got := make(chan map[string]int, 1)
	go func() { got <- e.drain(c, 1, 30*time.Second) }()
	time.Sleep(time.Second) // the broker is away that long
	e.server.Restart()
	require.True(e, within(15*time.Second, func() bool { return b.Ping(e.ctx) == nil }), "it is ready by itself")
	require.True(e, within(15*time.Second, func() bool { return pub.Publish(e.ctx, e.messages("m", 1)) == nil }))
	require.Len(e, <-got, 1)
}

func failsFastWhileDown(e *env) {
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{})
	e.publish(e.messages("m", 10)...)
	b := e.receive(c, 5*time.Second)
	e.server.Kill()
	require.True(e, within(5*time.Second, func() bool { return e.b.Ping(e.ctx) != nil }))
	start := time.Now()
	for range 20 {
		require.ErrorIs(e, e.pub.Publish(e.ctx, e.messages("n", 10)), broker.ErrUnavailable)
	}
	require.Less(e, time.Since(start), time.Second, "it fails at once")
	require.ErrorIs(e, e.b.Admin().EnsureTopic(e.ctx, broker.TopicSpec{Name: "other"}), broker.ErrUnavailable)
	_, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
	require.ErrorIs(e, err, broker.ErrUnavailable)
	_, err = e.b.Tail(e.ctx, e.topic)
	require.ErrorIs(e, err, broker.ErrUnavailable)
	if e.h.ConnectionLease {
		require.ErrorIs(e, b.Ack(e.ctx), broker.ErrLeaseLost)
	} else {
		require.ErrorIs(e, b.Ack(e.ctx), broker.ErrUnavailable)
	}
	start = time.Now()
	require.NoError(e, c.Close(e.ctx))
	require.Less(e, time.Since(start), 5*time.Second, "and closes")
}
