package nats_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest/natsserver"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
)

func TestMain(m *testing.M) {
	natsserver.Child()
	os.Exit(m.Run())
}

func TestSmoke(t *testing.T) {
	s := natsserver.StartChild(t, natsserver.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b, err := nats.Open(ctx, nats.Config{URL: s.URL()})
	require.NoError(t, err)
	defer b.Close(ctx)
	require.NoError(t, b.Ping(ctx))
	require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
	p, err := b.Publisher()
	require.NoError(t, err)
	tail, err := b.Tail(ctx, "spans")
	require.NoError(t, err)
	var msgs []broker.Message
	for i := range 1000 {
		msgs = append(msgs, broker.Message{Topic: "spans", Value: []byte(fmt.Sprint(i)), ID: fmt.Sprint("id", i), Headers: []broker.Header{{Key: "a", Value: []byte(" b")}}})
	}
	require.NoError(t, p.Publish(ctx, msgs))
	c, err := b.Consumer(broker.ConsumerConfig{Topic: "spans", Group: "g"})
	require.NoError(t, err)
	n := 0
	for n < 1000 {
		batch, err := c.Receive(ctx)
		require.NoError(t, err)
		t.Log(len(batch.Deliveries), batch.Deliveries[0])
		n += len(batch.Deliveries)
		require.NoError(t, batch.Extend(ctx))
		require.NoError(t, batch.Ack(ctx))
	}
	lag, err := b.Admin().Lag(ctx, "spans", "g")
	require.NoError(t, err)
	require.Equal(t, broker.Lag{Known: true}, lag)
	d, err := tail.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, "0", string(d.Value))
}
