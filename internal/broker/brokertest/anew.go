package brokertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func anewCases() []testCase {
	return []testCase{{name: "TopicMadeAnew", run: topicMadeAnew}}
}

// A topic that is deleted and made anew is another topic: a group begins at its
// beginning, wherever it stood in the old one, and what it had not read of that
// is reported as lost.
func topicMadeAnew(e *env) {
	if e.h.Remove == nil {
		e.Skip("the harness can not remove topics")
	}
	e.provision(broker.TopicSpec{})
	c := e.consumer(e.b, broker.ConsumerConfig{MaxMessages: 100})
	e.publish(e.messages("old", 500)...)
	require.Len(e, e.drain(c, 500, 20*time.Second), 500)

	const again, unread = 2000, 250
	e.publish(e.messages("unread", unread)...)
	held := e.receive(c, 5*time.Second)
	e.remake()
	e.publish(e.messages("new", again)...)
	_ = held.Ack(e.ctx) // of the old topic: it may succeed, and says nothing about the new one
	seen := map[string]int{}
	require.True(e, within(40*time.Second, func() bool {
		b := e.receive(c, 30*time.Second)
		for _, v := range values(b) {
			seen[v]++
		}
		if err := b.Ack(e.ctx); err != nil {
			require.ErrorIs(e, err, broker.ErrLeaseLost)
		}
		return len(seen) >= again
	}), "%d of %d came", len(seen), again)
	for _, v := range names("new", again) {
		require.Positive(e, seen[v], "message %q", v)
	}
	require.True(e, within(5*time.Second, func() bool {
		lag, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
		return err == nil && lag.Known && lag.Total() == 0
	}))
	require.EqualValues(e, unread-len(held.Deliveries), e.lostMessages(), "what the old topic had is reported")

	// And a group that nobody works meanwhile.
	require.NoError(e, c.Close(e.ctx))
	e.remake()
	e.publish(e.messages("newer", again)...)
	c = e.consumer(e.b, broker.ConsumerConfig{})
	require.Len(e, e.drain(c, again, 30*time.Second), again)
	e.lag(0, 0)
	require.EqualValues(e, unread-len(held.Deliveries), e.lostMessages(), "nothing new is lost")
}

// remake deletes the topic and makes it and its group again.
func (e *env) remake() {
	e.Helper()
	e.h.Remove(e, e.server.URL(), e.topic, "")
	e.provision(broker.TopicSpec{})
	require.True(e, within(20*time.Second, func() bool {
		_, err := e.b.Admin().Lag(e.ctx, e.topic, e.group)
		return err == nil
	}))
}
