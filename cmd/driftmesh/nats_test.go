package main

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/settings"
)

func startNATS(t *testing.T, dir, address, password string) (u *upCmd, stop func()) {
	t.Helper()
	u = &upCmd{DataDir: dir}
	u.Broker.URL = embeddedURL
	u.Broker.MaxBytes = 1 << 20
	u.Mesh.Secret = settings.SecretsOf("0123456789abcdef0123456789abcdef")
	u.NATS.Listen, u.NATS.ProducerPassword = address, settings.Secret(password)
	stop, err := u.startBroker(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return u, stop
}

// patient waits for a server on a busy machine.
var patient = nats.Timeout(20 * time.Second)

func dialNATS(t *testing.T, address string, options ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(address, append(options, nats.MaxReconnects(0), patient)...)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

// The user producer may publish to the inbox and hear that it is durable, and
// sees and does nothing else.
func TestProducersOnlyPublishToTheInbox(t *testing.T) {
	dir := t.TempDir()
	u, stop := startNATS(t, dir, "127.0.0.1:0", "let me in")
	defer func() { stop() }()
	mesh := dialNATS(t, u.Broker.URL.Reveal())
	meshJS, err := jetstream.New(mesh)
	require.NoError(t, err)
	b, err := driver.Open(t.Context(), driver.Config{URL: u.Broker.URL.Reveal()})
	require.NoError(t, err)
	require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: "inbox", MaxBytes: 1 << 20, Dedupe: broker.NoDedupe}))
	require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: "spans", MaxBytes: 1 << 20}))
	require.NoError(t, b.Close(t.Context()))

	denied := make(chan error, 16)
	producer := dialNATS(t, "nats://"+u.NATS.Listen, nats.UserInfo(producerUser, "let me in"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	js, err := jetstream.New(producer)
	require.NoError(t, err)
	msg := &nats.Msg{Subject: inboxSubject, Data: []byte("hello"), Header: nats.Header{"authorization": {"Bearer x"}, nats.MsgIdHdr: {"1"}}}
	ack, err := js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
	require.EqualValues(t, 1, ack.Sequence)
	again, err := js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
	require.False(t, again.Duplicate, "another producer may use the same id")
	require.EqualValues(t, 2, again.Sequence)
	stream, err := meshJS.Stream(t.Context(), "driftmesh_inbox")
	require.NoError(t, err)
	stored, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "hello", string(stored.Data))
	require.Equal(t, "Bearer x", stored.Header.Get("authorization"))

	// Elsewhere it may not publish.
	for _, subject := range []string{"driftmesh.spans", "driftmesh.inbox.dlq", "$JS.API.STREAM.NAMES", "_INBOX.x"} {
		require.NoError(t, producer.Publish(subject, []byte("x")))
		require.NoError(t, producer.Flush())
		require.ErrorIs(t, <-denied, nats.ErrPermissionViolation, subject)
	}
	// What is said among the services it does not hear.
	heard, err := producer.SubscribeSync("_INBOX.>")
	require.NoError(t, err)
	require.NoError(t, producer.Flush())
	_, err = meshJS.PublishMsg(t.Context(), &nats.Msg{Subject: "driftmesh.spans", Data: []byte("secret")})
	require.NoError(t, err)
	consumer, err := meshJS.CreateConsumer(t.Context(), "driftmesh_spans", jetstream.ConsumerConfig{})
	require.NoError(t, err)
	batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(5*time.Second))
	require.NoError(t, err)
	require.Equal(t, "secret", string((<-batch.Messages()).Data()))
	require.NoError(t, producer.Flush())
	_, err = heard.NextMsg(50 * time.Millisecond)
	require.ErrorIs(t, err, nats.ErrTimeout)
	_, err = producer.SubscribeSync("driftmesh.>")
	require.NoError(t, err)
	require.NoError(t, producer.Flush())
	require.ErrorIs(t, <-denied, nats.ErrPermissionViolation)

	// Nobody else gets in.
	for _, o := range []nats.Option{nats.UserInfo(producerUser, "wrong"), nats.UserInfo("", ""), nats.UserInfo(meshUser, "let me in")} {
		_, err := nats.Connect("nats://"+u.NATS.Listen, o, patient)
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}

	// With and without the user, what is stored is the same.
	for _, password := range []string{"", "another"} {
		stop()
		u, stop = startNATS(t, dir, u.NATS.Listen, password)
		js, err := jetstream.New(dialNATS(t, u.Broker.URL.Reveal()))
		require.NoError(t, err)
		stream, err := js.Stream(t.Context(), "driftmesh_inbox")
		require.NoError(t, err)
		require.EqualValues(t, 2, stream.CachedInfo().State.Msgs)
	}
}

func TestNATSSettings(t *testing.T) {
	_, err := newProducers(nil, settings.Secret(string(make([]byte, 73))))
	require.ErrorContains(t, err, "nats.producer-password")
	u, stop := startNATS(t, t.TempDir(), "127.0.0.1:0", "")
	defer stop()
	_, port, err := net.SplitHostPort(u.NATS.Listen)
	require.NoError(t, err)
	require.NotEqual(t, "0", port)
	_, err = nats.Connect("nats://"+u.NATS.Listen, nats.UserInfo(producerUser, ""), patient)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}
