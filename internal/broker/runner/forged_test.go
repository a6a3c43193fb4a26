package runner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
)

// What somebody publishes to an inner topic who has the broker's password and not
// the mesh secret is never handled, whatever tenant it names, and on nobody's
// account.
func TestForgedMessagesAreParkedUnseen(t *testing.T) {
	server := memory.NewServer()
	stranger := server.Open(memory.Options{})
	defer func() { require.NoError(t, stranger.Close(context.WithoutCancel(t.Context()))) }()
	for _, topic := range []string{event.Spans, event.DLQ(event.Spans)} {
		require.NoError(t, stranger.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: topic}))
	}
	require.NoError(t, stranger.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: event.Spans, Name: "g"}))
	require.NoError(t, stranger.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: event.DLQ(event.Spans), Name: "dead"}))
	secrets, err := identity.FixedSecrets([]byte(strings.Repeat("s", 32)))
	require.NoError(t, err)
	tel := broker.NewTelemetry(nil, nil)
	tel.Sealed(envelope.NewSigner(secrets, false))
	ours := tel.Instrument(server.Open(memory.Options{}))
	defer func() { require.NoError(t, ours.Close(context.WithoutCancel(t.Context()))) }()
	tail, err := ours.Tail(t.Context(), event.Spans)
	require.NoError(t, err)
	defer func() { require.NoError(t, tail.Close()) }()

	message := func(value string) []broker.Message {
		return []broker.Message{envelope.New(event.Spans, envelope.Stamp{Tenant: "acme", Type: event.TypeTraces, Count: 1, Accepted: time.Now()}, []byte(value))}
	}
	publish := func(b broker.Broker, msgs []broker.Message) {
		p, err := b.Publisher()
		require.NoError(t, err)
		require.NoError(t, p.Publish(t.Context(), msgs))
	}
	publish(stranger, message("forged"))
	again := message("forged, and said to have been here")
	again[0].Headers = append(again[0].Headers, broker.Header{Key: event.HeaderOrigin, Value: []byte("x")})
	publish(ours, again) // as a redrive of what was forged would
	publish(ours, message("genuine"))

	seen := make(chan string, 10)
	r, err := runner.New(runner.Config{
		Broker: ours, Consumer: broker.ConsumerConfig{Topic: event.Spans, Group: "g"},
		Handler: func(_ context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
			for i := range ds {
				seen <- string(ds[i].Value)
			}
			return nil, nil
		},
		OnPark: func(context.Context, *broker.Delivery, runner.Park) error { t.Error("it is on an account"); return nil },
	})
	require.NoError(t, err)
	dead, err := stranger.Consumer(broker.ConsumerConfig{Topic: event.DLQ(event.Spans), Group: "dead"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	require.Equal(t, "genuine", <-seen)
	for parked := 0; parked < 2; {
		b, err := dead.Receive(t.Context())
		require.NoError(t, err)
		for i := range b.Deliveries {
			require.Equal(t, string(runner.ReasonForged), b.Deliveries[i].Header(event.HeaderDLQReason))
			parked++
		}
	}
	d, err := tail.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "genuine", string(d.Value))
	cancel()
	require.NoError(t, <-done)
	require.Empty(t, seen)
	require.NoError(t, dead.Close(context.WithoutCancel(t.Context())))
}
