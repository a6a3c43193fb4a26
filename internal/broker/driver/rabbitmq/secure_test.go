package rabbitmq_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server"
	node "github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// Several hosts: the connection moves to one that answers.
func TestHosts(t *testing.T) {
	s := node.Start(t, node.Options{})
	proxy := server.NewProxy(t, s.Addr())
	closed := fmt.Sprintf("127.0.0.1:%d", server.FreePort(t))
	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: "amqp://guest:guest@" + closed + "," + proxy.Addr() + "," + s.Addr() + "/%2F"})
	require.NoError(t, err)
	defer b.Close(context.Background())
	require.NoError(t, b.Ping(t.Context()))
}

// An encrypted connection, by a CA in the URL and by a configuration.
func TestSecure(t *testing.T) {
	cert := server.NewCertificate(t)
	s := node.Start(t, node.Options{TLS: cert, Users: map[string]node.User{"me": {Password: "p@ss/w:rd", Configure: ".*", Write: ".*", Read: ".*"}}})
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("p@ss/w:rd\n"), 0o600))
	r := newRig(t, "amqps://me@"+s.AddrTLS()+"?password-file="+url.QueryEscape(password)+"&ca="+url.QueryEscape(cert.CertFile))
	r.publish("m", 3)
	b := r.receive(r.consumer(broker.ConsumerConfig{}), 5*time.Second)
	require.Equal(t, "m0", b.Deliveries[0].ID)
	require.NoError(t, b.Ack(t.Context()))
	own, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: "amqps://me:p%40ss%2Fw%3Ard@" + s.AddrTLS(), TLS: cert.Client})
	require.NoError(t, err)
	defer own.Close(context.Background())
	require.NoError(t, own.Ping(t.Context()))
	_, err = rabbitmq.Open(t.Context(), rabbitmq.Config{URL: "amqps://me:p%40ss%2Fw%3Ard@" + s.AddrTLS() + "?server-name=other.example", TLS: cert.Client})
	require.ErrorIs(t, err, broker.ErrDenied, "the certificate is for another name")
}

// The broker verifies who published, and nobody can claim to be another.
func TestVerifiedUser(t *testing.T) {
	s := node.Start(t, node.Options{})
	r := newRig(t, s.URL())
	conn, err := amqp.Dial(s.URL())
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	forged := amqp.Table{broker.HeaderBrokerUser: "admin"}
	require.NoError(t, ch.Publish("driftmesh.t", "", true, false, amqp.Publishing{MessageId: "a", UserId: "guest", Headers: forged}))
	require.NoError(t, ch.Publish("driftmesh.t", "", true, false, amqp.Publishing{MessageId: "b", Headers: forged}))
	c := r.consumer(broker.ConsumerConfig{MaxMessages: 2, Linger: 5 * time.Second})
	b := r.receive(c, 10*time.Second)
	require.Equal(t, "guest", b.Deliveries[0].Header(broker.HeaderBrokerUser))
	require.Empty(t, b.Deliveries[1].Header(broker.HeaderBrokerUser))
	require.NoError(t, b.Ack(t.Context()))
}

// Nothing that a service logs or shows may hold the password.
func TestErrorsHideThePassword(t *testing.T) {
	const secret = "hunter2secret"
	_, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: "amqp://mesh:" + secret + "@127.0.0.1:1/?nonsense=1"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), secret)
	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: "amqp://mesh:" + url.QueryEscape(secret) + "@127.0.0.1:1"})
	require.NoError(t, err, "the broker is away")
	defer b.Close(context.Background())
	err = b.Ping(t.Context())
	require.ErrorIs(t, err, broker.ErrUnavailable)
	require.NotContains(t, err.Error(), secret)
}
