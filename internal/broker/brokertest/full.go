package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func fullCases() []testCase {
	return []testCase{
		{name: "FullTopicRefuses", slow: true, run: fullTopicRefuses},
		{name: "FullTopicIdleThenBurst", slow: true, run: fullTopicIdleThenBurst},
		{name: "FullTopicSlowReader", slow: true, run: fullTopicSlowReader},
		{name: "FullTopicForeign", slow: true, run: fullTopicForeign},
		{name: "FullTopicKeepsUnacked", slow: true, run: fullTopicKeepsUnacked},
		{name: "FullTopicNewGroup", slow: true, run: fullTopicNewGroup},
		{name: "FullDLQ", slow: true, run: fullDLQ},
		{name: "SameIDTwoProducers", run: sameIDTwoProducers},
	}
}

// Sizes of a topic that is filled, and how fast it is.
const (
	fullBytes = 16 << 20 // of the topic
	fullValue = 32 << 10 // of a message
	fullBatch = 8        // messages of a Publish
	fullMost  = 3        // topics that a flood may fill before that is too many
	fullCount = fullMost * fullBytes / fullValue

	// fullFor is longer than anything that looks once a second takes to look, and
	// fullAtMost how long the slowest broker takes to be full.
	fullFor    = 2500 * time.Millisecond
	fullAtMost = 30 * time.Second
	// roomWithin is when there is room after everything was acknowledged.
	roomWithin = 5 * time.Second
)

// flood publishes from several goroutines as fast as it can, and tries again
// what is refused, as clients do.
type flood struct {
	topic string
	mu    sync.Mutex
	acked map[string]bool // by value's head; it is durable, so it must arrive
	no    int             // refusals
	first time.Time       // the first refusal of this run
	bad   error           // the first failure that is not a refusal
	next  atomic.Int64
}

// send publishes; it returns nil when everything is durable.
type send func(ctx context.Context, msgs []broker.Message) error

// run publishes with one goroutine per send until refused for d, or until most
// messages are acknowledged.
func (f *flood) run(ctx context.Context, d time.Duration, most int, senders ...send) {
	ctx, cancel := context.WithTimeout(ctx, fullAtMost)
	defer cancel()
	f.first = time.Time{}
	if f.acked == nil {
		f.acked = map[string]bool{}
	}
	var all sync.WaitGroup
	for _, publish := range senders {
		all.Go(func() {
			var msgs []broker.Message
			for ctx.Err() == nil && f.count() < most && !f.refusedFor(d) {
				for len(msgs) < fullBatch {
					msgs = append(msgs, f.message())
				}
				// Not ctx: a publish that is cut short has no known outcome.
				msgs = f.result(msgs, publish(context.WithoutCancel(ctx), msgs))
				if len(msgs) > 0 {
					time.Sleep(5 * time.Millisecond) // it is full
				}
			}
		})
	}
	all.Wait()
}

// message makes one that no broker can make smaller.
func (f *flood) message() broker.Message {
	id := fmt.Sprintf("%s-%d", f.topic, f.next.Add(1))
	value := make([]byte, fullValue)
	for i := copy(value, id+"|"); i < len(value); i++ {
		value[i] = byte(rand.Uint32())
	}
	return broker.Message{Topic: f.topic, Value: value, ID: id}
}

func idOf(value []byte) string {
	id, _, _ := strings.Cut(string(value[:min(len(value), 64)]), "|")
	return id
}

// result notes what became of messages, and returns those to publish again.
func (f *flood) result(msgs []broker.Message, err error) (again []broker.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := map[int]bool{}
	pe, ok := errors.AsType[*broker.PublishError](err)
	if err != nil && !ok {
		f.bad = err
		return nil
	}
	if ok {
		for _, fail := range pe.Failed {
			failed[fail.Index] = true
			if f.no++; !errors.Is(fail.Err, broker.ErrBackpressure) {
				f.bad = fail.Err
			}
			if f.first.IsZero() {
				f.first = time.Now()
			}
		}
	}
	for i := range msgs {
		if failed[i] {
			again = append(again, msgs[i])
		} else {
			f.acked[msgs[i].ID] = true
		}
	}
	return again
}

func (f *flood) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acked)
}

func (f *flood) refusedFor(d time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.first.IsZero() && time.Since(f.first) > d
}

// refused checks that the flood met a full topic, and nothing worse.
func (f *flood) refused(e *env) {
	e.Helper()
	e.Logf("%d messages acknowledged, %d refusals", len(f.acked), f.no)
	require.NoError(e, f.bad, "what does not fit is refused with ErrBackpressure")
	require.Positive(e, f.no, "a full topic refuses")
	require.GreaterOrEqual(e, len(f.acked), fullBytes/fullValue/4, "it takes a good part of what it is to hold")
	require.LessOrEqual(e, len(f.acked), fullCount, "it is bounded")
}

// arrives receives until everything that was acknowledged came, and checks that
// nothing else did.
func (f *flood) arrives(e *env, c broker.Consumer, seen map[string]bool) {
	e.Helper()
	for missing := f.missing(seen); missing > 0; missing = f.missing(seen) {
		ctx, cancel := context.WithTimeout(e.ctx, 15*time.Second)
		b, err := c.Receive(ctx)
		cancel()
		if err != nil {
			lag, _ := e.b.Admin().Lag(e.ctx, e.topic, e.group) // tells a message that is gone from one that nobody holds
			require.NoError(e, err, "%d of %d acknowledged messages do not come, counted as lost: %d, lag: %+v", missing, f.count(), e.lostMessages(), lag)
		}
		note(b, seen)
		require.NoError(e, b.Ack(e.ctx))
	}
	require.Zero(e, e.lostMessages())
}

// missing is how many acknowledged messages were not seen.
func (f *flood) missing(seen map[string]bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for id := range f.acked {
		if !seen[id] {
			n++
		}
	}
	return n
}

func note(b *broker.Batch, seen map[string]bool) {
	for _, d := range b.Deliveries {
		seen[idOf(d.Value)] = true
	}
}

// onlyAcked checks that what was refused is not there.
func (f *flood) onlyAcked(e *env, seen map[string]bool) {
	e.Helper()
	for id := range seen {
		require.True(e, f.acked[id], "message %s was refused, and came", id)
	}
}

// takesMore checks that there is room again.
func (e *env) takesMore(topic string) {
	e.Helper()
	var err error
	ok := within(roomWithin, func() bool {
		err = e.pub.Publish(e.ctx, []broker.Message{{Topic: topic, Value: make([]byte, fullValue)}})
		return err == nil
	})
	require.True(e, ok, "still refused %v after everything was acknowledged: %v", roomWithin, err)
}

// publishers are two connections with two callers each.
func (e *env) publishers() []send {
	other := e.publisher(e.dial())
	return []send{e.pub.Publish, e.pub.Publish, other.Publish, other.Publish}
}

// Whatever is published at full speed while nobody reads, all that was
// acknowledged is there, and the rest was refused.
func fullTopicRefuses(e *env) {
	e.provision(broker.TopicSpec{MaxBytes: fullBytes})
	_, err := e.b.Tail(e.ctx, e.topic) // that nobody reads holds nothing up
	require.NoError(e, err)
	f := &flood{topic: e.topic}
	f.run(e.ctx, fullFor, fullCount+1, e.publishers()...)
	f.refused(e)
	seen := map[string]bool{}
	f.arrives(e, e.consumer(e.b, broker.ConsumerConfig{}), seen)
	f.onlyAcked(e, seen)
	e.takesMore(e.topic)
}

// What looks at a topic from time to time finds it empty, and then more comes
// than there is room for.
func fullTopicIdleThenBurst(e *env) {
	e.provision(broker.TopicSpec{MaxBytes: fullBytes})
	e.publish(broker.Message{Topic: e.topic, Value: []byte("first|")})
	e.quietFor(2500 * time.Millisecond)
	f := &flood{topic: e.topic, acked: map[string]bool{"first": true}}
	f.run(e.ctx, fullFor, fullCount+1, e.publishers()...)
	f.refused(e)
	f.arrives(e, e.consumer(e.b, broker.ConsumerConfig{}), map[string]bool{})
	e.takesMore(e.topic)
}

// quietFor lets d pass without a message.
func (e *env) quietFor(d time.Duration) {
	select {
	case <-time.After(d):
	case <-e.ctx.Done():
	}
}

// While a reader takes a little at a time, publishers fill what it frees.
func fullTopicSlowReader(e *env) {
	e.provision(broker.TopicSpec{MaxBytes: fullBytes})
	senders := e.publishers()
	f := &flood{topic: e.topic}
	f.run(e.ctx, fullFor, fullCount+1, senders...)
	f.refused(e)
	full := f.count()
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 32, Linger: 10 * time.Millisecond})
	seen := map[string]bool{}
	var read atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(50 * time.Millisecond): // a slow reader
			}
			b, err := c.Receive(e.ctx)
			if err == nil {
				note(b, seen)
				err = b.Ack(e.ctx)
			}
			if err != nil {
				stopped <- err
				return
			}
			read.Add(int64(len(b.Deliveries)))
		}
	}()
	for since := time.Now(); int(read.Load()) < full && time.Since(since) < fullAtMost; {
		f.run(e.ctx, fullFor, 10*fullCount, senders...)
	}
	close(stop)
	require.NoError(e, <-stopped)
	require.NoError(e, f.bad)
	require.Greater(e, f.count(), full+full/4, "publishers get the room that the reader makes")
	f.arrives(e, c, seen)
	f.onlyAcked(e, seen)
	e.takesMore(e.topic)
}

// Publishers that know nothing of this package lose nothing either, as on the
// mesh's open topic.
func fullTopicForeign(e *env) {
	e.provision(broker.TopicSpec{MaxBytes: fullBytes, Dedupe: broker.NoDedupe})
	f := &flood{topic: e.topic}
	var senders []send
	for range 3 {
		senders = append(senders, e.foreign())
	}
	f.run(e.ctx, fullFor, fullCount, senders...)
	if e.h.RefusesForeign {
		f.refused(e)
	}
	f.arrives(e, e.consumer(e.b, broker.ConsumerConfig{}), map[string]bool{})
	e.takesMore(e.topic)
}

// foreign is a publisher with the bare library. Whatever it could not publish
// counts as refused.
func (e *env) foreign() send {
	e.Helper()
	if e.h.Foreign == nil {
		e.Fatal("the harness has no foreign producer")
	}
	publish := e.h.Foreign(e, e.server.URL())
	return func(ctx context.Context, msgs []broker.Message) error {
		errs := make([]error, len(msgs))
		for i := range msgs {
			if err := publish(ctx, msgs[i]); err != nil {
				errs[i] = fmt.Errorf("%w: %w", broker.ErrBackpressure, err)
			}
		}
		return broker.Published(errs)
	}
}

// A message that a worker holds stays, whatever was acknowledged before and
// behind it.
func fullTopicKeepsUnacked(e *env) {
	e.provision(broker.TopicSpec{MaxBytes: fullBytes})
	senders := e.publishers()
	f := &flood{topic: e.topic}
	f.run(e.ctx, fullFor, fullCount+1, senders...)
	f.refused(e)
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 64, MaxInFlight: 100})
	seen := map[string]bool{}
	var held []string
	for f.missing(seen) > 0 {
		b := e.receive(c, 15*time.Second)
		note(b, seen)
		at := len(b.Deliveries) / 2
		held = append(held, idOf(b.Deliveries[at].Value))
		var done []int
		for i := range b.Deliveries {
			if i != at {
				done = append(done, i)
			}
		}
		if len(done) > 0 {
			require.NoError(e, b.SettleSome(e.ctx, done, nil, 0))
		}
	}
	f.run(e.ctx, fullFor, 10*fullCount, senders...) // into whatever room that made
	require.NoError(e, f.bad)
	require.NoError(e, c.Close(e.ctx))
	for _, id := range held {
		delete(seen, id) // they come again
	}
	f.arrives(e, e.consumer(e.b, broker.ConsumerConfig{}), seen)
	e.takesMore(e.topic)
}

// A group that is made when the topic is full of what others have read gets all
// that is published from then on, though it reads nothing for long.
func fullTopicNewGroup(e *env) {
	e.provision(broker.TopicSpec{MaxBytes: fullBytes})
	f := &flood{topic: e.topic}
	f.run(e.ctx, fullFor, fullCount+1, e.publishers()...)
	f.refused(e)
	old := e.consumer(e.b, broker.ConsumerConfig{})
	f.arrives(e, old, map[string]bool{})
	require.NoError(e, e.b.Admin().EnsureGroup(e.ctx, broker.GroupSpec{
		Topic: e.topic, Name: "late", Start: broker.Latest,
	}))
	late := &flood{topic: e.topic}
	late.next.Store(f.next.Load())
	read, stop := context.WithCancel(e.ctx)
	ended := make(chan struct{})
	go func() { // the old group reads on, and that makes no room
		defer close(ended)
		for {
			b, err := old.Receive(read)
			if err != nil || b.Ack(context.WithoutCancel(read)) != nil {
				return
			}
		}
	}()
	late.run(e.ctx, fullFor, fullCount+1, e.publishers()...)
	stop()
	<-ended
	late.refused(e)
	late.arrives(e, e.consumer(e.b, broker.ConsumerConfig{Group: "late"}), map[string]bool{})
}

// Dead letters are messages like others.
func fullDLQ(e *env) {
	dlq := broker.DLQ(e.topic)
	admin := e.b.Admin()
	require.NoError(e, admin.EnsureTopic(e.ctx, broker.TopicSpec{Name: dlq, MaxBytes: fullBytes, Dedupe: broker.DLQDedupe}))
	require.NoError(e, admin.EnsureGroup(e.ctx, broker.GroupSpec{Topic: dlq, Name: e.group}))
	f := &flood{topic: dlq}
	f.run(e.ctx, fullFor, fullCount+1, e.publishers()...)
	f.refused(e)
	c, err := e.b.Consumer(broker.ConsumerConfig{Topic: dlq, Group: e.group})
	require.NoError(e, err)
	f.arrives(e, c, map[string]bool{})
	e.takesMore(dlq)
}

// Who publishes to an open topic chooses ids, and cannot make vanish what others
// publish under the same.
func sameIDTwoProducers(e *env) {
	e.provision(broker.TopicSpec{Dedupe: broker.NoDedupe})
	senders := []send{e.pub.Publish, e.publisher(e.dial()).Publish}
	if e.h.Foreign != nil {
		senders = append(senders, e.foreign(), e.foreign())
	}
	const ids = 20
	for n, publish := range senders {
		var msgs []broker.Message
		for id := range ids {
			msgs = append(msgs, broker.Message{Topic: e.topic, ID: strconv.Itoa(id), Value: fmt.Append(nil, "producer ", n, " message ", id)})
		}
		require.NoError(e, publish(e.ctx, msgs))
	}
	seen := e.drain(e.consumer(e.b, broker.ConsumerConfig{}), ids*len(senders), 15*time.Second)
	require.Len(e, seen, ids*len(senders))
}
