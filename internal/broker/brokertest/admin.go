package brokertest

import (
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func adminCases() []testCase {
	return []testCase{
		{name: "LagCorrect", run: lagCorrect},
		{name: "LagAtOnce", run: lagAtOnce},
		{name: "EnsureIdempotent", run: ensureIdempotent},
		{name: "RetentionOvertakesGroup", slow: true, run: retentionOvertakesGroup},
		{name: "BackpressureBeforeLoss", slow: true, run: backpressureBeforeLoss},
		{name: "AuthAndTLS", run: authAndTLS},
	}
}

func lagCorrect(e *env) {
	e.provision(broker.TopicSpec{})
	e.lag(0, 0)
	e.publish(e.messages("m", 100)...)
	e.lag(100, 0)
	lag, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
	require.NoError(e, err)
	require.Positive(e, lag.Oldest)
	require.Less(e, lag.Oldest, time.Minute)
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 50, Linger: 5 * time.Second})
	b := e.receive(c, 20*time.Second)
	require.Len(e, b.Deliveries, 50)
	e.lag(50, 50)
	half := make([]int, 25)
	for i := range half {
		half[i] = i
	}
	require.NoError(e, b.SettleSome(e.ctx, half, nil, 0))
	e.lag(50, 25)
	require.NoError(e, b.Ack(e.ctx))
	e.lag(50, 0)
	_, err = e.b.Admin().Lag(e.ctx, e.topic, "nobody")
	require.ErrorIs(e, err, broker.ErrNoGroup)
}

// lagAtOnce: what was published shows as soon as that is told.
func lagAtOnce(e *env) {
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 1})
	for i := range 100 {
		e.publish(e.messages("m"+strconv.Itoa(i), 1)...)
		lag, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
		require.NoError(e, err)
		require.EqualValues(e, 1, lag.Total(), "message %d", i)
		require.NoError(e, e.receive(c, 20*time.Second).Ack(e.ctx))
		e.lag(0, 0)
	}
}

func ensureIdempotent(e *env) {
	admin := e.b.Admin()
	topic := broker.TopicSpec{Name: e.topic, MaxAge: time.Hour, MaxBytes: 64 << 20}
	group := broker.GroupSpec{Topic: e.topic, Name: "g", AckWait: 10 * time.Second, MaxInFlight: 100}
	for range 2 {
		require.NoError(e, admin.EnsureTopic(e.ctx, topic))
		require.NoError(e, admin.EnsureGroup(e.ctx, group))
	}
	require.NoError(e, admin.EnsureTopic(e.ctx, broker.TopicSpec{Name: e.topic}))
	e.publish(e.messages("m", 5)...)

	topic.MaxAge, topic.MaxBytes, group.AckWait, group.MaxInFlight = 2*time.Hour, 128<<20, time.Minute, 200
	require.NoError(e, admin.EnsureTopic(e.ctx, topic), "it exists: that is all that was asked for")
	require.NoError(e, admin.EnsureGroup(e.ctx, group))
	require.Len(e, e.drain(e.consumer(e.b, broker.ConsumerConfig{}), 5, 5*time.Second), 5, "nothing was lost")

	for _, bad := range []string{"", "UPPER", "a b", ".a", "a..b", "a*"} {
		require.ErrorIs(e, admin.EnsureTopic(e.ctx, broker.TopicSpec{Name: bad}), broker.ErrInvalid, "topic %q", bad)
	}
	require.ErrorIs(e, admin.EnsureGroup(e.ctx, broker.GroupSpec{Topic: e.topic, Name: "a.b"}), broker.ErrInvalid)
	require.ErrorIs(e, admin.EnsureGroup(e.ctx, broker.GroupSpec{Topic: "no-such-topic", Name: "g"}), broker.ErrUnroutable)
	err := e.pub.Publish(e.ctx, []broker.Message{{Topic: "no-such-topic"}})
	require.ErrorIs(e, err, broker.ErrUnroutable)
	require.ErrorIs(e, err, fault.Unavailable)
}

func retentionOvertakesGroup(e *env) {
	e.provision(broker.TopicSpec{MaxAge: time.Second, Dedupe: 500 * time.Millisecond})
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 10})
	e.publish(e.messages("first", 10)...)
	b := e.receive(c, 5*time.Second)
	require.NoError(e, b.Ack(e.ctx))
	const n = 300
	e.publish(e.messages("gone", n)...)
	time.Sleep(3 * time.Second) // thrice the topic's age
	e.publish(e.messages("last", 3)...)
	require.Len(e, e.drain(c, 3, 5*time.Second), 3, "the worker goes on")
	require.EqualValues(e, n, e.lostMessages(), "what was lost is counted")
	e.lag(0, 0)
}

// A full topic refuses rather than drop what a group has not read, and takes
// more when it has.
func backpressureBeforeLoss(e *env) {
	e.provision(broker.TopicSpec{MaxBytes: 2 << 20},
		broker.GroupSpec{Name: e.group}, broker.GroupSpec{Name: "careless", MayLose: true})
	sent := 0
	send := func() error {
		m := broker.Message{Topic: e.topic, Value: make([]byte, 32<<10), ID: strconv.Itoa(sent)}
		err := e.pub.Publish(e.ctx, []broker.Message{m})
		if err == nil {
			sent++
		}
		return err
	}
	var err error
	refused := within(30*time.Second, func() bool {
		err = send()
		time.Sleep(20 * time.Millisecond) // steady load: a guard looks once a second
		return err != nil
	})
	require.True(e, refused, "sent %d", sent)
	require.ErrorIs(e, err, broker.ErrBackpressure)
	require.ErrorIs(e, err, fault.Exhausted)
	require.Greater(e, sent, 16)
	c := e.consumer(e.b, broker.ConsumerConfig{})
	for got := 0; got < sent; {
		b := e.receive(c, 5*time.Second)
		got += len(b.Deliveries)
		require.NoError(e, b.Ack(e.ctx))
	}
	require.Zero(e, e.lostMessages())
	e.lag(0, 0)
	require.True(e, within(10*time.Second, func() bool { return send() == nil }), "it takes more")
}

func authAndTLS(e *env) {
	if e.h.Refused == nil {
		e.Fatal("the harness has no refused connections")
	}
	for name, open := range e.h.Refused(e) {
		start := time.Now()
		err := open(e.ctx)
		require.ErrorIs(e, err, broker.ErrDenied, name)
		require.Less(e, time.Since(start), 10*time.Second, name)
		e.Logf("%s: %v", name, err)
	}
}
