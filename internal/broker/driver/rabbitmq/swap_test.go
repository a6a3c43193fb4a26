package rabbitmq_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	node "github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// Somebody deletes a queue and makes another of the same name before the broker
// has told its consumers. They are never told, and get nothing any more: the
// driver notices, and everything comes.
func TestQueueSwappedUnderAWorker(t *testing.T) {
	s := node.Start(t, node.Options{})
	r := newRig(t, s.URL())
	c := r.consumer(broker.ConsumerConfig{MaxMessages: 20})
	r.publish("before", 100)
	for got := 0; got < 100; {
		b := r.receive(c, 10*time.Second)
		got += len(b.Deliveries)
		require.NoError(t, b.Ack(t.Context()))
	}
	received := make(chan error, 1)
	const n = 2000
	seen := map[string]bool{}
	ctx, stop := context.WithCancel(t.Context())
	var receiving sync.WaitGroup
	receiving.Go(func() { // it waits while the queue is swapped
		for len(seen) < n {
			b, err := c.Receive(ctx)
			if err == nil {
				err = b.Ack(ctx)
			}
			if err != nil {
				received <- err
				return
			}
			for _, d := range b.Deliveries {
				seen[d.ID] = true
			}
		}
		received <- nil
	})
	defer receiving.Wait()
	defer stop()

	conn, err := amqp.Dial(s.URL())
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	_, err = ch.QueueDelete("driftmesh.t.g", false, false, false)
	require.NoError(t, err)
	_, err = ch.QueueDeclare("driftmesh.t.g", true, false, false, false, amqp.Table{
		"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-delivery-limit": 1 << 30,
	})
	require.NoError(t, err)
	require.NoError(t, ch.QueueBind("driftmesh.t.g", "", "driftmesh.t", false, nil))

	// A channel of the old queue may lose its confirms; another has none to lose.
	msgs := messages("m", n)
	require.Eventually(t, func() bool {
		pub, err := r.b.Publisher()
		require.NoError(t, err)
		defer pub.Close(t.Context())
		return pub.Publish(t.Context(), msgs) == nil
	}, 30*time.Second, 50*time.Millisecond)
	select {
	case err := <-received:
		require.NoError(t, err)
	case <-time.After(40 * time.Second):
		t.Fatal("the worker is deaf")
	}
	for i := range n {
		require.True(t, seen[fmt.Sprint("m", i)], "m%d", i)
	}
}
