package nats_test

import (
	"context"
	"crypto/tls"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
	"github.com/driftmesh/driftmesh/test/server"
	natsserver "github.com/driftmesh/driftmesh/test/server/nats"
)

func TestMain(m *testing.M) {
	natsserver.Child()
	brokertest.Main(m, open)
}

// open opens a broker of the suite.
func open(ctx context.Context, url string, lost brokertest.Lost) (broker.Broker, error) {
	return nats.Open(ctx, nats.Config{URL: url, Lost: lost})
}

func TestSuite(t *testing.T) {
	shared := natsserver.Start(t, natsserver.Options{})
	brokertest.Run(t, brokertest.Harness{
		Start: func(t *testing.T, fault bool) brokertest.Server {
			if fault {
				return natsserver.Start(t, natsserver.Options{})
			}
			return shared
		},
		Open:           open,
		Foreign:        foreign,
		Refused:        refused,
		Remove:         remove,
		RefusesForeign: true,
	}, brokertest.Except{
		"TopicMadeAnew": "what a deleted stream held is not known, and so not reported as lost",
		"KeyOrder":      "workers share one pull consumer; Capabilities.Ordered is false",
	})
}

// foreign publishes as any NATS client would.
func foreign(tb testing.TB, addr string) func(context.Context, broker.Message) error {
	nc, err := natsgo.Connect(addr)
	require.NoError(tb, err)
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(tb, err)
	return func(ctx context.Context, m broker.Message) error {
		msg := natsgo.NewMsg("driftmesh." + m.Topic)
		msg.Data = m.Value
		msg.Header["Nats-Msg-Id"] = []string{m.ID}
		if m.Key != nil {
			msg.Header["driftmesh-x-key"] = []string{string(m.Key)}
		}
		for _, h := range m.Headers {
			msg.Header[h.Key] = []string{string(h.Value)}
		}
		_, err := js.PublishMsg(ctx, msg)
		return err
	}
}

// remove deletes a stream, or one consumer of it.
func remove(tb testing.TB, addr, topic, group string) {
	nc, err := natsgo.Connect(addr)
	require.NoError(tb, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(tb, err)
	if group == "" {
		err = js.DeleteStream(tb.Context(), "driftmesh_"+topic)
	} else {
		err = js.DeleteConsumer(tb.Context(), "driftmesh_"+topic, group)
	}
	require.NoError(tb, err)
}

// refused are connections that a server with a password, or with TLS, refuses.
func refused(tb testing.TB) map[string]func(context.Context) error {
	secret := natsserver.Start(tb, natsserver.Options{User: "mesh", Password: "s3cret"})
	private := natsserver.Start(tb, natsserver.Options{TLS: server.NewCertificate(tb)})
	readOnly := natsserver.Start(tb, natsserver.Options{User: "mesh", Password: "x", DenyPublish: []string{"driftmesh.>"}})
	opening := func(url string, config *tls.Config) func(context.Context) error {
		return func(ctx context.Context) error {
			b, err := nats.Open(ctx, nats.Config{URL: url, TLS: config})
			if err == nil {
				err = b.Ping(ctx)
				_ = b.Close(ctx)
			}
			return err
		}
	}
	return map[string]func(context.Context) error{
		"no password":    opening("nats://"+secret.Addr(), nil),
		"wrong password": opening("nats://mesh:wrong@"+secret.Addr(), nil),
		"wrong token":    opening("nats://"+secret.Addr()+"?token=wrong", nil),
		"wrong CA":       opening("nats+tls://"+private.Addr(), nil),
		"TLS required":   opening("nats+tls://"+secret.Addr(), nil),
		"publish permission": func(ctx context.Context) error {
			b, err := nats.Open(ctx, nats.Config{URL: readOnly.URL()})
			if err != nil {
				return err
			}
			defer b.Close(ctx)
			if err := b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "spans"}); err != nil {
				return err
			}
			p, err := b.Publisher()
			if err != nil {
				return err
			}
			return p.Publish(ctx, []broker.Message{{Topic: "spans", Value: []byte("x")}})
		},
	}
}
