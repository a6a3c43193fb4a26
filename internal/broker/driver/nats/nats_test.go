package nats_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest/natsserver"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
)

func TestMain(m *testing.M) {
	natsserver.Child()
	brokertest.Worker(func(ctx context.Context, addr string) (broker.Broker, error) {
		return nats.Open(ctx, nats.Config{URL: addr})
	})
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// server is a NATS server of the suite.
type server struct{ *natsserver.Server }

func (s server) Addr() string { return s.URL() }

func (s server) Dial(ctx context.Context, lost brokertest.Lost) (broker.Broker, error) {
	return nats.Open(ctx, nats.Config{URL: s.URL(), Lost: lost})
}

func TestSuite(t *testing.T) {
	shared := server{natsserver.Start(t, natsserver.Options{})}
	brokertest.Run(t, brokertest.Harness{
		Start: func(tb testing.TB, fault bool) brokertest.Server {
			if fault {
				return server{natsserver.StartChild(tb, natsserver.Options{})}
			}
			return shared
		},
		Foreign: foreign,
		Refused: refused,
	}, brokertest.Except{
		"KeyOrder": "workers share one pull consumer; Capabilities.Ordered is false",
	})
}

// foreign publishes as any NATS client would.
func foreign(tb testing.TB, addr, topic string, m broker.Message) {
	nc, err := natsgo.Connect(addr)
	require.NoError(tb, err)
	defer nc.Close()
	msg := natsgo.NewMsg("driftmesh." + topic)
	msg.Data = m.Value
	msg.Header["Nats-Msg-Id"] = []string{m.ID}
	if m.Key != nil {
		msg.Header["driftmesh-x-key"] = []string{string(m.Key)}
	}
	for _, h := range m.Headers {
		msg.Header[h.Key] = []string{string(h.Value)}
	}
	_, err = nc.RequestMsg(msg, 5*time.Second)
	require.NoError(tb, err)
}

// refused are connections that a server with a password, or with TLS, refuses.
func refused(tb testing.TB) map[string]func(context.Context) error {
	secret := natsserver.Start(tb, natsserver.Options{User: "mesh", Password: "s3cret"})
	private := natsserver.Start(tb, natsserver.Options{TLS: natsserver.SelfSigned(tb)})
	readOnly := natsserver.Start(tb, natsserver.Options{User: "mesh", Password: "x", DenyPublish: []string{"driftmesh.>"}})
	open := func(url string, config *tls.Config) func(context.Context) error {
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
		"no password":    open("nats://"+secret.Addr(), nil),
		"wrong password": open("nats://mesh:wrong@"+secret.Addr(), nil),
		"wrong token":    open("nats://"+secret.Addr()+"?token=wrong", nil),
		"wrong CA":       open("nats+tls://"+private.Addr(), nil),
		"TLS required":   open("nats+tls://"+secret.Addr(), nil),
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
