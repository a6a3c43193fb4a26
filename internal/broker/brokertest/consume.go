package brokertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func consumeCases() []testCase {
	return []testCase{
		{name: "ConsumerHang", slow: true, run: consumerHang},
		{name: "ExtendKeepsLease", slow: true, run: extendKeepsLease},
		{name: "RetryRedelivers", run: retryRedelivers},
		{name: "RetryDelay", slow: true, run: retryDelay},
		{name: "BatchLimits", run: batchLimits},
		{name: "InFlightManyBatches", run: inFlightManyBatches},
		{name: "CancelLosesNothing", run: cancelLosesNothing},
		{name: "Tail", run: tailCase},
	}
}

// shortLease provisions the group with a lease that a test can outlive.
func (e *env) shortLease() time.Duration {
	const wait = 1500 * time.Millisecond
	e.provision(broker.TopicSpec{}, broker.GroupSpec{Name: e.group, AckWait: wait})
	return wait
}

func consumerHang(e *env) {
	wait := e.shortLease()
	hung := e.consumer(e.b, broker.ConsumerConfig{})
	e.publish(e.messages("m", 10)...)
	b := e.receive(hung, 5*time.Second)
	require.Len(e, b.Deliveries, 10)
	other := e.consumer(e.dial(), broker.ConsumerConfig{})
	again := e.receive(other, wait+5*time.Second)
	require.ElementsMatch(e, names("m", 10), values(again))
	for _, d := range again.Deliveries {
		e.attempt(2, d)
	}
	require.Error(e, b.Context().Err(), "the lease is lost")
	require.ErrorIs(e, context.Cause(b.Context()), broker.ErrLeaseLost)
	require.ErrorIs(e, b.Ack(e.ctx), broker.ErrLeaseLost)
	require.ErrorIs(e, b.Extend(e.ctx), broker.ErrLeaseLost)
	e.lag(0, 10)
	require.NoError(e, again.Ack(e.ctx))
	e.lag(0, 0)
}

// attempt asserts the delivery count, where the broker has one.
func (e *env) attempt(want int, d broker.Delivery) {
	e.Helper()
	if !e.b.Capabilities().CountsAttempts {
		want = 0
	}
	require.Equal(e, want, d.Attempt, "attempt of %q", d.Value)
}

func extendKeepsLease(e *env) {
	wait := e.shortLease()
	c := e.consumer(e.b, broker.ConsumerConfig{})
	e.publish(e.messages("m", 10)...)
	b := e.receive(c, 5*time.Second)
	other := e.consumer(e.dial(), broker.ConsumerConfig{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.quiet(other, 3*wait)
	}()
	for end := time.Now().Add(3 * wait); time.Now().Before(end); time.Sleep(wait / 4) {
		require.NoError(e, b.Extend(e.ctx))
	}
	<-done
	require.NoError(e, b.Ack(e.ctx))
	e.quiet(other, wait)
	e.lag(0, 0)
}

func retryRedelivers(e *env) {
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{})
	e.publish(e.messages("m", 10)...)
	b := e.receive(c, 5*time.Second)
	require.Len(e, b.Deliveries, 10)
	for _, d := range b.Deliveries {
		e.attempt(1, d)
	}
	require.NoError(e, b.Settle(e.ctx, []int{2, 5, 9}, 0))
	require.NoError(e, b.Settle(e.ctx, []int{2, 5, 9}, 0), "settling again is a no-op")
	require.NoError(e, b.Ack(e.ctx), "and so is this")
	var again []string
	for len(again) < 3 {
		b := e.receive(c, 40*time.Second)
		again = append(again, values(b)...)
		for _, d := range b.Deliveries {
			e.attempt(2, d)
		}
		require.NoError(e, b.SettleSome(e.ctx, []int{0}, nil, 0))
		require.NoError(e, b.Ack(e.ctx))
	}
	require.ElementsMatch(e, []string{"m2", "m5", "m9"}, again)
	e.quiet(c, 300*time.Millisecond)
	e.lag(0, 0)
}

func retryDelay(e *env) {
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{})
	e.publish(e.messages("m", 1)...)
	b := e.receive(c, 5*time.Second)
	const delay = 2 * time.Second
	start := time.Now()
	require.NoError(e, b.Settle(e.ctx, []int{0}, delay))
	b = e.receive(c, time.Minute)
	took := time.Since(start)
	require.NoError(e, b.Ack(e.ctx))
	e.Logf("a retry after %v came after %v", delay, took)
	if e.b.Capabilities().DelayedRetry {
		require.GreaterOrEqual(e, took, delay-50*time.Millisecond)
		require.Less(e, took, delay+3*time.Second)
	}
}

func batchLimits(e *env) {
	e.provision(broker.TopicSpec{})
	e.publish(e.messages("m", 25)...)
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 10, Linger: 300 * time.Millisecond})
	for _, want := range []int{10, 10, 5} {
		b := e.receive(c, 5*time.Second)
		require.Len(e, b.Deliveries, want)
		require.NoError(e, b.Ack(e.ctx))
	}
	require.NoError(e, c.Close(e.ctx))

	c = e.consumer(e.b, broker.ConsumerConfig{MaxBytes: 64 << 10, Linger: 300 * time.Millisecond})
	for i := range 8 {
		e.publish(broker.Message{Topic: e.topic, Value: make([]byte, 20<<10), ID: fmt.Sprint("big", i)})
	}
	e.publish(broker.Message{Topic: e.topic, Value: make([]byte, 200<<10), ID: "huge"})
	for n := 0; n < 9; {
		b := e.receive(c, 5*time.Second)
		require.True(e, len(b.Deliveries) == 1 || b.Size() <= 64<<10, "%d messages of %d bytes", len(b.Deliveries), b.Size())
		n += len(b.Deliveries)
		require.NoError(e, b.Ack(e.ctx))
	}
	require.NoError(e, c.Close(e.ctx))

	const linger = 400 * time.Millisecond
	c = e.consumer(e.b, broker.ConsumerConfig{Linger: linger})
	e.quiet(c, 2*linger) // the linger does not run while nothing is there
	start := time.Now()
	e.publish(e.messages("l", 1)...)
	b := e.receive(c, 5*time.Second)
	took := time.Since(start)
	require.Len(e, b.Deliveries, 1)
	require.GreaterOrEqual(e, took, linger-50*time.Millisecond)
	require.Less(e, took, linger+time.Second)
	require.NoError(e, b.Ack(e.ctx))
}

func inFlightManyBatches(e *env) {
	e.provision(broker.TopicSpec{})
	e.publish(e.messages("m", 90)...)
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 10, MaxInFlight: 8})
	var batches []*broker.Batch
	for range 8 {
		batches = append(batches, e.receive(c, 5*time.Second))
	}
	e.quiet(c, 200*time.Millisecond) // the ninth waits for a slot
	rand.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	acked := map[string]bool{}
	for _, b := range batches[:5] {
		require.NoError(e, b.Ack(e.ctx))
		for _, v := range values(b) {
			acked[v] = true
		}
	}
	require.Len(e, acked, 50)
	require.NoError(e, c.Close(e.ctx))
	require.ErrorIs(e, batches[7].Ack(e.ctx), broker.ErrLeaseLost)
	rest := e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 40, 10*time.Second)
	for v := range rest {
		require.False(e, acked[v], "message %q was acknowledged and came again", v)
	}
	e.lag(0, 0)
}

func cancelLosesNothing(e *env) {
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{Linger: 10 * time.Second})
	e.publish(e.messages("m", 5)...)
	ctx, cancel := context.WithTimeout(e.ctx, 300*time.Millisecond)
	defer cancel()
	_, err := c.Receive(ctx) // within the linger, with five messages in hand
	require.ErrorIs(e, err, context.DeadlineExceeded)
	require.NoError(e, c.Close(e.ctx))
	seen := e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 5, 5*time.Second)
	require.Len(e, seen, 5)
	e.lag(0, 0)
}

func tailCase(e *env) {
	e.provision(broker.TopicSpec{})
	e.publish(e.messages("before", 3)...)
	tail, err := e.b.Tail(e.ctx, e.topic)
	require.NoError(e, err)
	e.publish(broker.Message{Topic: e.topic, ID: "x", Value: []byte("after"), Headers: []broker.Header{{Key: "a", Value: []byte("b")}}})
	d, err := tail.Next(e.ctx)
	require.NoError(e, err)
	require.Equal(e, "after", string(d.Value))
	require.Equal(e, "b", d.Header("a"))
	require.Equal(e, e.topic, d.Topic)
	require.NotEmpty(e, d.Position)
	e.lag(4, 0) // no group moved

	const n = broker.TailMessages + 500
	e.publish(e.messages("many", n)...)
	require.True(e, within(5*time.Second, func() bool { return tail.Dropped() == 500 }), "dropped %d", tail.Dropped())
	d, err = tail.Next(e.ctx)
	require.NoError(e, err)
	require.Equal(e, "many500", string(d.Value), "the oldest give way")

	require.NoError(e, tail.Close())
	require.NoError(e, tail.Close())
	_, err = tail.Next(e.ctx)
	require.ErrorIs(e, err, broker.ErrClosed)
	_, err = e.b.Tail(e.ctx, "no-such-topic")
	require.ErrorIs(e, err, broker.ErrUnroutable)
}
