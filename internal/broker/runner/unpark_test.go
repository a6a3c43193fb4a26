package runner_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
)

func TestUnparkIsTheInverseOfParked(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.UTC)
	d := &broker.Delivery{
		Message: broker.Message{
			Topic: "spans", Key: []byte("k"), Value: []byte("v"), ID: "id", Time: at,
			Headers: []broker.Header{{Key: "driftmesh-tenant", Value: []byte("acme")}, {Key: "a-bin", Value: []byte{0, 0xff}}},
		},
		Lane: "07", Position: "42",
	}
	parked := runner.Parked(d, runner.Park{
		Reason: runner.ReasonDecode, Err: errors.New("no\nsense"), Attempts: 3, Group: "g", Worker: "w", At: at.Add(time.Second),
	})
	message, parking := runner.Unpark(&parked)
	require.Equal(t, d.Message, message)
	require.Equal(t, runner.Parking{
		Topic: "spans", Group: "g", Lane: "07", Position: "42", Reason: runner.ReasonDecode, Error: "no sense", Attempts: 3,
		FirstSeen: at, DeadAt: at.Add(time.Second), Worker: "w",
	}, parking)
}

// What was put on a DLQ by hand, or by a later version, is readable all the
// same; the topic is never the sender's to say.
func TestUnparkForeignMessage(t *testing.T) {
	t.Parallel()
	m := &broker.Message{Topic: "spans.dlq", Value: []byte("v"), Headers: []broker.Header{
		{Key: event.HeaderDLQTopic, Value: []byte("alerts")}, {Key: event.HeaderDLQAttempts, Value: []byte("many")},
		{Key: event.HeaderDLQDeadAt, Value: []byte("yesterday")}, {Key: "driftmesh-dlq-colour", Value: []byte("red")},
	}}
	message, parking := runner.Unpark(m)
	require.Equal(t, "spans", message.Topic)
	require.Empty(t, message.Headers)
	require.Equal(t, runner.Parking{Topic: "spans"}, parking)
}
