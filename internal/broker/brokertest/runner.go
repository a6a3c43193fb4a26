package brokertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func runnerCases() []testCase {
	return []testCase{
		{name: "PoisonToDLQ", run: poisonToDLQ},
		{name: "DLQUnavailable", run: dlqUnavailable},
		{name: "SlowConsumerBackpressure", slow: true, alone: true, run: slowConsumerBackpressure},
		{name: "DrainOnShutdown", run: drainOnShutdown},
	}
}

// runner runs a handler until the returned function is called, which returns
// what Run returned.
func (e *env) runner(cfg runner.Config) (stop func() error) {
	e.Helper()
	if cfg.Broker == nil {
		cfg.Broker = e.b
	}
	cfg.Consumer.Topic, cfg.Consumer.Group = e.topic, e.group
	if cfg.Consumer.Linger == 0 {
		cfg.Consumer.Linger = 50 * time.Millisecond
	}
	if cfg.BackoffMin == 0 {
		cfg.BackoffMin, cfg.BackoffMax = 10*time.Millisecond, 100*time.Millisecond
	}
	r, err := runner.New(cfg)
	require.NoError(e, err)
	ctx, cancel := context.WithCancel(e.ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			result = <-ended
		})
		return result
	}
	e.Cleanup(func() { _ = stop() })
	return stop
}

// tally counts values, from any goroutine.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *tally) add(ds ...broker.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = map[string]int{}
	}
	for _, d := range ds {
		c.count[string(d.Value)]++
	}
}

func (c *tally) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.count)
}

func (c *tally) of(v string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[v]
}

// dlqGroup lets the test read the DLQ.
func (e *env) dlqGroup() broker.Consumer {
	e.Helper()
	dlq := broker.DLQ(e.topic)
	require.NoError(e, e.b.Admin().EnsureGroup(e.ctx, broker.GroupSpec{Topic: dlq, Name: "dlq"}))
	c, err := e.b.Consumer(broker.ConsumerConfig{Topic: dlq, Group: "dlq", Linger: 50 * time.Millisecond})
	require.NoError(e, err)
	return c
}

func poisonToDLQ(e *env) {
	e.provision(broker.TopicSpec{})
	msgs := e.messages("m", 50)
	msgs[7].Headers = []broker.Header{{Key: "own", Value: []byte("kept")}}
	msgs[7].Key = []byte("key")
	e.publish(msgs...)
	var good, bad tally
	var parked atomic.Int32
	stop := e.runner(runner.Config{
		MaxAttempts: 3,
		Consumer:    broker.ConsumerConfig{Member: "worker-1"},
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			for _, d := range ds {
				if string(d.Value) == "m7" {
					bad.add(d)
					return nil, errors.New("boom\nwith a second line")
				}
			}
			good.add(ds...)
			return nil, nil
		},
		OnPark: func(_ context.Context, d *broker.Delivery, p runner.Park) error {
			if string(d.Value) != "m7" || p.Reason != runner.ReasonMaxDeliveries {
				return fmt.Errorf("parked %q for %s", d.Value, p.Reason)
			}
			parked.Add(1)
			return nil
		},
	})
	b := e.receive(e.dlqGroup(), 30*time.Second)
	require.Len(e, b.Deliveries, 1)
	d := b.Deliveries[0]
	require.Equal(e, "m7", string(d.Value))
	require.Equal(e, "m7", d.ID)
	require.Equal(e, "key", string(d.Key))
	for key, want := range map[string]string{
		"own": "kept", event.HeaderDLQReason: "max_deliveries", event.HeaderDLQError: "boom with a second line",
		event.HeaderDLQTopic: e.topic, event.HeaderDLQGroup: e.group, event.HeaderDLQAttempts: "3",
		event.HeaderDLQWorker: "worker-1",
	} {
		require.Equal(e, want, d.Header(key), key)
	}
	for _, key := range []string{event.HeaderDLQFirstSeen, event.HeaderDLQDeadAt} {
		at, err := time.Parse(time.RFC3339Nano, d.Header(key))
		require.NoError(e, err, key)
		require.WithinDuration(e, time.Now(), at, time.Minute)
	}
	require.NoError(e, b.Ack(e.ctx))
	require.True(e, within(5*time.Second, func() bool { return good.len() == 49 && parked.Load() == 1 }))
	e.lag(0, 0)
	require.NoError(e, stop())
}

// noDLQ is a broker that cannot publish to DLQs for a while.
type noDLQ struct {
	broker.Broker
	refuse *atomic.Bool
}

func (b noDLQ) Publisher() (broker.Publisher, error) {
	p, err := b.Broker.Publisher()
	return noDLQPublisher{p, b.refuse}, err
}

type noDLQPublisher struct {
	broker.Publisher
	refuse *atomic.Bool
}

func (p noDLQPublisher) Publish(ctx context.Context, msgs []broker.Message) error {
	if p.refuse.Load() && strings.HasSuffix(msgs[0].Topic, ".dlq") {
		return &broker.PublishError{Total: len(msgs), Failed: []broker.Failure{{Index: 0, Err: broker.ErrUnavailable}}}
	}
	return p.Publisher.Publish(ctx, msgs)
}

func dlqUnavailable(e *env) {
	e.provision(broker.TopicSpec{})
	var refuse atomic.Bool
	refuse.Store(true)
	var seen tally
	stop := e.runner(runner.Config{
		Broker: noDLQ{e.b, &refuse},
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			seen.add(ds...)
			vs := make([]runner.Verdict, len(ds))
			for i, d := range ds {
				if string(d.Value) == "m1" {
					vs[i] = runner.Dead(runner.ReasonDecode, fault.Invalid.New("no sense in it"))
				}
			}
			return vs, nil
		},
	})
	e.publish(e.messages("m", 3)...)
	require.True(e, within(20*time.Second, func() bool { return seen.of("m1") >= 3 }), "it comes again and again")
	require.Equal(e, 1, seen.of("m0"), "its neighbours do not")
	lag, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
	require.NoError(e, err)
	require.EqualValues(e, 1, lag.Total(), "it is not acknowledged")
	refuse.Store(false)
	b := e.receive(e.dlqGroup(), 20*time.Second)
	require.Equal(e, []string{"m1"}, values(b))
	require.Equal(e, "decode", b.Deliveries[0].Header(event.HeaderDLQReason))
	e.lag(0, 0)
	require.NoError(e, stop())
}

func slowConsumerBackpressure(e *env) {
	wait := e.shortLease()
	const n, size, limit = 20_000, 1 << 10, 200
	value := make([]byte, size)
	for range n / 500 {
		msgs := make([]broker.Message, 500)
		for i := range msgs {
			msgs[i] = broker.Message{Topic: e.topic, Value: value}
		}
		e.publish(msgs...)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var inFlight, most, again atomic.Int64
	stop := e.runner(runner.Config{
		Consumer: broker.ConsumerConfig{MaxMessages: limit / 2, MaxInFlight: 2},
		Handler: func(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			now := inFlight.Add(int64(len(ds)))
			defer inFlight.Add(-int64(len(ds)))
			most.Store(max(most.Load(), now))
			for _, d := range ds {
				if d.Attempt > 1 {
					again.Add(1)
				}
			}
			select { // longer than the lease, which is extended meanwhile
			case <-time.After(wait + wait/2):
			case <-ctx.Done():
			}
			return nil, nil
		},
	})
	time.Sleep(3 * wait) // leases would have run out three times
	lag, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
	require.NoError(e, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.NoError(e, stop())
	require.LessOrEqual(e, most.Load(), int64(limit))
	require.LessOrEqual(e, lag.InFlight, int64(limit*3/2), "the driver hoards nothing")
	require.Zero(e, again.Load(), "redelivered")
	require.Less(e, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20), "heap growth")
}

func drainOnShutdown(e *env) {
	e.provision(broker.TopicSpec{})
	e.publish(e.messages("m", 200)...)
	var started, done tally
	gate := make(chan struct{})
	stop := e.runner(runner.Config{
		Consumer: broker.ConsumerConfig{MaxMessages: 10, MaxInFlight: 4},
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			started.add(ds...)
			<-gate
			done.add(ds...)
			return nil, nil
		},
	})
	require.True(e, within(5*time.Second, func() bool { return started.len() == 40 }))
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	time.Sleep(100 * time.Millisecond) // the stop is under way; the handlers still work
	close(gate)
	select {
	case err := <-stopped:
		require.NoError(e, err)
	case <-time.After(10 * time.Second):
		e.Fatal("the runner did not stop")
	}
	require.Equal(e, started.len(), done.len(), "every batch that was started was ended")
	e.lag(200-int64(done.len()), 0)
	rest := e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 200-done.len(), 10*time.Second)
	for v := range rest {
		require.Zero(e, done.of(v), "message %q was acknowledged and came again", v)
	}
}
