package runner_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// What a stranger writes can be taken away before anybody sees it, what the
// handler found out can be put on the parked copy, and credentials never lie in
// the dead letters, also of a message that no handler has seen.
func TestRunnerOfStrangersMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now()
	seen := make(chan broker.Delivery, 1)
	stop := b.run(runner.Config{
		Prepare: func(d *broker.Delivery) {
			d.Headers, d.Time = d.Headers[:len(d.Headers)-1:len(d.Headers)-1], now
		},
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			seen <- ds[0]
			return nil, fault.Invalid.New("bad")
		},
		Mark: func(_ context.Context, d *broker.Delivery) []broker.Header {
			return []broker.Header{{Key: "kept", Value: []byte("replaced")}, {Key: "found", Value: []byte(d.ID)}}
		},
	})
	header := func(key string) broker.Header { return broker.Header{Key: key, Value: []byte("secret")} }
	require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{{Topic: "spans", ID: "a", Headers: []broker.Header{
		header("authorization"), header("cookie"), header("kept"), header("proxy-authorization"), header("x-api-key"), header("zz-foreign"),
	}}}))
	eventually(t, b.settled, "parked")
	require.NoError(t, stop())
	d := <-seen
	require.Equal(t, "secret", d.Header("x-api-key"))
	require.Empty(t, d.Header("zz-foreign"))
	require.Equal(t, now, d.Time)

	c, err := b.b.Consumer(broker.ConsumerConfig{Topic: "spans.dlq", Group: "dlq", Linger: time.Millisecond})
	require.NoError(t, err)
	batch, err := c.Receive(t.Context())
	require.NoError(t, err)
	require.Len(t, batch.Deliveries, 1)
	parked := batch.Deliveries[0]
	require.Equal(t, "replaced", parked.Header("kept"))
	require.Equal(t, "a", parked.Header("found"))
	for _, h := range parked.Headers {
		require.NotEqual(t, "secret", string(h.Value), h.Key)
	}
	require.NoError(t, c.Close(t.Context()))
}

// A stranger's message that turns out to be the mesh's own is not traced.
func TestMessagesBelong(t *testing.T) {
	t.Parallel()
	b, spans, _, _ := traced(t)
	parent := broker.Header{Key: "traceparent", Value: []byte("00-11111111111111111111111111111111-2222222222222222-01")}
	require.NoError(t, b.pub.Publish(t.Context(), []broker.Message{
		{Topic: "spans", ID: "mesh", Headers: []broker.Header{parent}}, {Topic: "spans", ID: "acme", Headers: []broker.Header{parent}},
	}))
	stop := b.run(runner.Config{
		Handler: func(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			for i, d := range ds {
				runner.Belongs(ctx, i, map[string]string{"mesh": broker.MeshTenant, "acme": "acme"}[d.ID])
			}
			return nil, nil
		},
	})
	eventually(t, b.settled, "settled")
	require.NoError(t, stop())
	require.Len(t, named(spans, "dwell spans"), 1)
	runner.Belongs(t.Context(), 0, "nobody") // outside a handler it does nothing
}
