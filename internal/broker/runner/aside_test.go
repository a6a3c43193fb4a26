package runner_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

const retries = "spans.retry"

// neighbour is what messages wait for, by value.
type neighbour struct {
	mu   sync.Mutex
	away map[string]bool
	seen map[string]int
	done map[string]int // by the id that the ledger knows
}

func newNeighbour(away ...string) *neighbour {
	n := &neighbour{away: map[string]bool{}, seen: map[string]int{}, done: map[string]int{}}
	for _, v := range away {
		n.away[v] = true
	}
	return n
}

func (n *neighbour) handle(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	verdicts := make([]runner.Verdict, len(ds))
	for i := range ds {
		v := string(ds[i].Value)
		n.seen[v]++
		if n.away[v] {
			verdicts[i] = runner.FromError(fault.Unavailable.New("away for %s", v))
			continue
		}
		id := ds[i].Header(event.HeaderOrigin)
		if id == "" {
			id = ds[i].ID
		}
		n.done[id]++
	}
	return verdicts, nil
}

func (n *neighbour) back(values ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, v := range values {
		delete(n.away, v)
	}
}

func (n *neighbour) isDone(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.done[id] > 0
}

// lane makes the retry topic and gives the configurations of the two runners
// that share a handler.
func (b *bundle) lane(handle runner.Handler) (first, second runner.Config) {
	b.Helper()
	require.NoError(b, b.b.Admin().EnsureTopic(b.Context(), broker.TopicSpec{Name: retries}))
	require.NoError(b, b.b.Admin().EnsureGroup(b.Context(), broker.GroupSpec{Topic: retries, Name: "g", AckWait: 2 * time.Second}))
	first = runner.Config{Handler: handle, RetryTopic: retries, MaxAttempts: 3}
	second = first
	second.Consumer.Topic = retries
	return first, second
}

func (b *bundle) total(topic string) int {
	b.Helper()
	lag, err := b.b.Admin().Lag(b.Context(), topic, "g")
	require.NoError(b, err)
	return int(lag.Total())
}

// Messages that wait leave the topic to those behind them, are done when the
// neighbour is back, and are for the ledger what they were.
func TestWhatWaitsIsSetAside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := newNeighbour("x", "y")
	first, second := b.lane(n.handle)
	b.run(first)
	b.run(second)
	b.publish("x", "a", "y", "b")
	eventually(t, func() bool { return b.total("spans") == 0 }, "nothing is left in the topic")
	require.True(t, n.isDone("a") && n.isDone("b"))
	require.False(t, n.isDone("x"))
	require.Equal(t, 2, b.total(retries))
	b.publish("c")
	eventually(t, func() bool { return n.isDone("c") }, "who comes later does not wait")
	n.back("x", "y")
	eventually(t, func() bool { return b.total(retries) == 0 }, "all is done")
	require.Equal(t, map[string]int{"x": 1, "y": 1, "a": 1, "b": 1, "c": 1}, n.done)
	require.Empty(t, b.parked())
}

// One that waits for ever does not hold up those behind it that wait no more,
// and costs little.
func TestOneThatWaitsForEverHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := newNeighbour("poison", "good")
	first, second := b.lane(n.handle)
	first.BackoffMin, first.BackoffMax = time.Millisecond, 60*time.Millisecond
	second.BackoffMin, second.BackoffMax = first.BackoffMin, first.BackoffMax
	second.Consumer.MaxMessages, second.Consumer.MaxInFlight = 10, 1
	b.run(first)
	var msgs []broker.Message
	for i := range 100 {
		msgs = append(msgs, broker.Message{Topic: "spans", ID: fmt.Sprint("p", i), Value: []byte("poison")})
	}
	require.NoError(t, b.pub.Publish(t.Context(), msgs))
	eventually(t, func() bool { return b.total(retries) == 100 }, "the poison is at the head of the retry topic")
	require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{{Topic: "spans", ID: "g", Value: []byte("good")}}))
	eventually(t, func() bool { return b.total(retries) == 101 }, "all wait")
	n.back("good")
	start := time.Now()
	b.run(second)
	eventually(t, func() bool { return n.isDone("g") }, "it is reached")
	require.GreaterOrEqual(t, time.Since(start), 100*time.Millisecond, "ten batches of ten, each in a sixth of the longest back-off")
	time.Sleep(600 * time.Millisecond)
	require.Equal(t, 100, b.total(retries))
	n.mu.Lock()
	defer n.mu.Unlock()
	// A message goes to the end once in two of the longest back-offs.
	turns := int(time.Since(start)/(120*time.Millisecond)) + 2
	require.Less(t, n.seen["poison"], 100*turns*6, "it is not tried in a hot loop")
}

// What is dead in the retry topic is parked as a message of its own topic, and
// an outage is no attempt.
func TestTheDeadOfTheRetryTopicGoHome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var away, bad atomic.Bool
	away.Store(true)
	first, second := b.lane(func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
		verdicts := make([]runner.Verdict, len(ds))
		for i := range ds {
			switch {
			case away.Load():
				verdicts[i] = runner.FromError(fault.Timeout.New("away"))
			case bad.Load() && ds[i].Header(event.HeaderOrigin) == "dead":
				verdicts[i] = runner.Dead(runner.ReasonDecode, errors.New("no sense"))
			case bad.Load():
				verdicts[i] = runner.FromError(errors.New("boom"))
			}
		}
		return verdicts, nil
	})
	var books sync.Map
	second.OnPark = func(_ context.Context, d *broker.Delivery, p runner.Park) error {
		books.Store(d.Header(event.HeaderOrigin), p.Reason)
		return nil
	}
	b.run(first)
	b.run(second)
	b.publish("dead", "failing")
	eventually(t, func() bool { return b.total(retries) == 2 }, "they wait")
	time.Sleep(100 * time.Millisecond) // far more tries than attempts
	bad.Store(true)
	away.Store(false)
	eventually(t, func() bool { return b.total(retries) == 0 }, "parked")
	reason, _ := books.Load("dead")
	require.Equal(t, runner.ReasonDecode, reason)

	c, err := b.b.Consumer(broker.ConsumerConfig{Topic: "spans.dlq", Group: "dlq", Linger: 50 * time.Millisecond})
	require.NoError(t, err)
	batch, err := c.Receive(t.Context())
	require.NoError(t, err)
	require.Len(t, batch.Deliveries, 2)
	for i := range batch.Deliveries {
		m, parking := runner.Unpark(&batch.Deliveries[i].Message)
		require.Equal(t, "spans", m.Topic, "where a redrive goes")
		require.Equal(t, "spans", batch.Deliveries[i].Header(event.HeaderDLQTopic))
		require.Equal(t, "g", parking.Group)
		require.Equal(t, string(m.Value), m.Header(event.HeaderOrigin), "for the ledger it is what it was")
		require.Empty(t, m.Header(event.HeaderWaiting))
	}
	require.NoError(t, c.Close(t.Context()))
}

// lateAck is a broker on which a worker dies after it has put messages into the
// retry topic, before it acknowledges them.
type lateAck struct {
	broker.Broker
	die func()
}

func (l lateAck) Publisher() (broker.Publisher, error) {
	p, err := l.Broker.Publisher()
	return lateAckPublisher{p, l.die}, err
}

type lateAckPublisher struct {
	broker.Publisher
	die func()
}

func (p lateAckPublisher) Publish(ctx context.Context, msgs []broker.Message) error {
	err := p.Publisher.Publish(ctx, msgs)
	if event.IsRetry(msgs[0].Topic) {
		p.die()
	}
	return err
}

// A worker that dies between the retry topic and the acknowledgement leaves the
// message in both, as one to the ledger.
func TestADeathWhileSettingAsideLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := newNeighbour("x")
	first, second := b.lane(n.handle)
	b.publish("x")
	conn := b.server.Open(memory.Options{})
	died := make(chan struct{})
	cfg := first
	cfg.Broker = lateAck{conn, sync.OnceFunc(func() {
		require.NoError(t, conn.Close(context.Background()))
		close(died)
	})}
	cfg.Consumer = broker.ConsumerConfig{Topic: "spans", Group: "g", Linger: time.Millisecond}
	cfg.Drain = time.Millisecond
	r, err := runner.New(cfg)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	<-died
	require.Error(t, <-ended)
	require.Equal(t, []int{1, 1}, []int{b.total("spans"), b.total(retries)})

	b.run(first)
	b.run(second)
	n.back("x")
	eventually(t, func() bool { return b.total("spans")+b.total(retries) == 0 }, "all is done")
	require.Equal(t, map[string]int{"x": 2}, n.done, "twice the same: one row")
}

// A retry topic that takes nothing leaves the messages where they are.
func TestAFullRetryTopicGivesBack(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	full.Store(true)
	b := setup(t, func(in broker.Broker) broker.Broker { return noRetries{in, &full} })
	n := newNeighbour("x")
	first, second := b.lane(n.handle)
	b.run(first)
	b.publish("x", "a")
	eventually(t, func() bool { return n.isDone("a") }, "its neighbour is done")
	eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.seen["x"] > 2*first.MaxAttempts
	}, "it comes again and again")
	require.Equal(t, []int{1, 0}, []int{b.total("spans"), b.total(retries)})
	full.Store(false)
	eventually(t, func() bool { return b.total(retries) == 1 }, "it is set aside when there is room")
	n.back("x")
	b.run(second)
	eventually(t, func() bool { return n.isDone("x") }, "done")
	require.Empty(t, b.parked())
}

type noRetries struct {
	broker.Broker
	full *atomic.Bool
}

func (b noRetries) Publisher() (broker.Publisher, error) {
	p, err := b.Broker.Publisher()
	return noRetriesPublisher{p, b.full}, err
}

type noRetriesPublisher struct {
	broker.Publisher
	full *atomic.Bool
}

func (p noRetriesPublisher) Publish(ctx context.Context, msgs []broker.Message) error {
	if p.full.Load() && event.IsRetry(msgs[0].Topic) {
		errs := make([]error, len(msgs))
		for i := range errs {
			errs[i] = broker.ErrBackpressure
		}
		return broker.Published(errs)
	}
	return p.Publisher.Publish(ctx, msgs)
}

// A message keeps its credentials only where nobody could say whose it is, and
// nobody is asked about it.
func TestWhatIsSetAsideIsMarked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := newNeighbour("known", "unknown")
	first, _ := b.lane(n.handle)
	first.Mark = func(ctx context.Context, d *broker.Delivery) []broker.Header {
		if ctx.Err() == nil || d.ID == "unknown" {
			return nil
		}
		return []broker.Header{{Key: event.HeaderSeal, Value: []byte("sealed")}}
	}
	b.run(first)
	var msgs []broker.Message
	for _, v := range []string{"known", "unknown"} {
		msgs = append(msgs, broker.Message{Topic: "spans", ID: v, Value: []byte(v), Headers: []broker.Header{
			{Key: "authorization", Value: []byte("secret")}, {Key: event.HeaderWaiting, Value: []byte("1")}, {Key: "own", Value: []byte("kept")},
		}})
	}
	require.NoError(t, b.pub.Publish(t.Context(), msgs))
	c, err := b.b.Consumer(broker.ConsumerConfig{Topic: retries, Group: "g", Linger: 100 * time.Millisecond})
	require.NoError(t, err)
	batch, err := c.Receive(t.Context())
	require.NoError(t, err)
	require.Len(t, batch.Deliveries, 2)
	for i := range batch.Deliveries {
		d := &batch.Deliveries[i]
		seal, secret := "sealed", ""
		if string(d.Value) == "unknown" {
			seal, secret = "", "secret"
		}
		require.Equal(t, []string{seal, secret, "kept", string(d.Value)},
			[]string{d.Header(event.HeaderSeal), d.Header("authorization"), d.Header("own"), d.Header(event.HeaderOrigin)})
		require.Greater(t, len(d.Header(event.HeaderWaiting)), 1)
	}
	require.NoError(t, c.Close(t.Context()))
}

// The trace of a message goes on through the retry topic.
func TestTheRetryTopicIsInTheTrace(t *testing.T) {
	t.Parallel()
	b, spans, _, _ := traced(t)
	n := newNeighbour("x")
	first, second := b.lane(n.handle)
	b.run(first)
	b.run(second)
	id := trace.TraceID{0xab}
	require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{{Topic: "spans", ID: "x", Value: []byte("x"), Headers: []broker.Header{
		{Key: "traceparent", Value: fmt.Appendf(nil, "00-%s-%s-01", id, trace.SpanID{7})},
	}}}))
	eventually(t, func() bool { return b.total(retries) == 1 }, "it waits")
	n.back("x")
	eventually(t, func() bool { return b.total(retries) == 0 }, "it is done")
	outcomes := map[string]string{}
	eventually(t, func() bool {
		for _, s := range spans.Ended() {
			if s.SpanContext().TraceID() == id {
				outcomes[s.Name()] = attr(s, "driftmesh.broker.outcome").AsString()
			}
		}
		return outcomes["process "+retries] == "done"
	}, "it is traced to the end")
	require.Equal(t, map[string]string{
		"dwell spans": "", "process spans": "aside", "dwell " + retries: "", "process " + retries: "done",
	}, outcomes)
}
