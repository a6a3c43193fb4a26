package broker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What publishing meets is known at once when the topic is gone, after a while
// when the broker is away or full, and forgotten with the first success or when
// nobody tries any more.
func TestFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		b := broker.NewTelemetry(nil, nil).Instrument(server.Open(memory.Options{}))
		pub, err := b.Publisher()
		require.NoError(t, err)
		try := func(topics ...string) error {
			var msgs []broker.Message
			for _, topic := range topics {
				msgs = append(msgs, broker.Message{Topic: topic, Value: []byte("x")})
			}
			return pub.Publish(t.Context(), msgs)
		}
		failing := func(topic string) error {
			_, err := broker.Failing(b, topic)
			return err
		}
		require.NoError(t, failing("t"), "nobody has tried")
		require.Error(t, try("t"))
		require.ErrorIs(t, failing("t"), broker.ErrUnroutable)
		require.ErrorContains(t, failing("t"), `"t"`)
		require.NoError(t, failing("other"))

		for _, name := range []string{"t", "other"} {
			require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: name}))
		}
		require.Error(t, try("t", "gone"))
		require.NoError(t, failing("t"), "it worked for this one")
		require.ErrorIs(t, failing("gone"), broker.ErrUnroutable)
		time.Sleep(time.Minute)
		require.NoError(t, failing("gone"), "nobody tries any more")

		server.Down()
		require.Error(t, try("t"))
		require.NoError(t, failing("t"), "one failure may pass")
		time.Sleep(3 * time.Second)
		require.Error(t, try("t"))
		require.ErrorIs(t, failing("t"), broker.ErrUnavailable)
		require.ErrorIs(t, pub.Publish(t.Context(), []broker.Message{{Topic: "other", Key: []byte("k"), ID: "\n"}}), broker.ErrInvalid)
		require.NoError(t, failing("other"), "that was the message's own fault")
		server.Up()
		require.NoError(t, try("t"))
		require.NoError(t, failing("t"))
	})
}
