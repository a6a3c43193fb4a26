package rabbitmq_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/fault"
	node "github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// A queue that somebody else declared keeps its size; one that would lose
// messages is refused, and named.
func TestQueuesOfOthers(t *testing.T) {
	s := node.Start(t, node.Options{})
	r := newRig(t, s.URL())
	conn, err := amqp.Dial(s.URL())
	require.NoError(t, err)
	defer conn.Close()
	declare := func(group string, change func(amqp.Table)) error {
		args := amqp.Table{
			"x-queue-type": "quorum", "x-quorum-initial-group-size": 1, "x-max-length-bytes": 1 << 20,
			"x-overflow": "reject-publish", "x-delivery-limit": 1 << 30,
		}
		change(args)
		ch, err := conn.Channel()
		require.NoError(t, err)
		_, err = ch.QueueDeclare("driftmesh.t."+group, true, false, false, false, args)
		require.NoError(t, err)
		for range 2 { // it may be repeated
			err = r.b.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: "t", Name: group})
		}
		return err
	}
	require.NoError(t, declare("smaller", func(amqp.Table) {}))
	require.NoError(t, declare("boundless", func(args amqp.Table) { delete(args, "x-max-length-bytes") }))
	for name, change := range map[string]func(amqp.Table){
		"drops":   func(args amqp.Table) { args["x-overflow"] = "drop-head"; delete(args, "x-max-length-bytes") },
		"throws":  func(args amqp.Table) { args["x-delivery-limit"] = 20 },
		"classic": func(args amqp.Table) { clear(args) },
	} {
		err := declare(name, change)
		require.ErrorIs(t, err, fault.Precondition, name)
		require.NotErrorIs(t, err, fault.Unavailable, "it does not pass")
		require.ErrorContains(t, err, "driftmesh.t."+name)
	}
	r.publish("m", 1)
	b := r.receive(r.consumer(broker.ConsumerConfig{}), 5*time.Second)
	require.Equal(t, "m0", b.Deliveries[0].ID)
}
