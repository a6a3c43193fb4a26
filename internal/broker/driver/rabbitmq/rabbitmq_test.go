package rabbitmq_test

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest"
	"github.com/driftmesh/driftmesh/internal/broker/driver/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server"
	node "github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

func TestMain(m *testing.M) {
	brokertest.Main(m, open)
}

// open opens a broker of the suite.
func open(ctx context.Context, url string, lost brokertest.Lost) (broker.Broker, error) {
	return rabbitmq.Open(ctx, rabbitmq.Config{URL: url, Lost: lost})
}

func TestSuite(t *testing.T) {
	cert := server.NewCertificate(t)
	shared := node.Start(t, node.Options{Management: true, TLS: cert, Users: map[string]node.User{
		"mesh":   {Password: "s3cret", Configure: ".*", Write: ".*", Read: ".*", Tags: "administrator"},
		"reader": {Password: "r", Configure: ".*", Read: ".*"},
		"writer": {Password: "w", Write: ".*"},
	}})
	brokertest.Run(t, brokertest.Harness{
		Start: func(t *testing.T, fault bool) brokertest.Server {
			if fault {
				return node.Start(t, node.Options{Management: true})
			}
			return shared
		},
		Open:            open,
		Foreign:         foreign,
		RefusesForeign:  true,
		Remove:          remove,
		Refused:         func(testing.TB) map[string]func(context.Context) error { return refused(shared) },
		Settle:          func(testing.TB) { shared.Settle() },
		ConnectionLease: true,
	}, brokertest.Except{
		"TopicMadeAnew":           "what a deleted queue held is not known, and so not reported as lost",
		"KeyOrder":                "workers share one queue; Capabilities.Ordered is false",
		"LagAtOnce":               "a message on its way from the queue to a worker is nobody's for a moment",
		"RetentionOvertakesGroup": "a queue keeps what its group has not read, whatever its age: retention cannot overtake it",
	})
}

// foreign publishes as any AMQP client would.
func foreign(tb testing.TB, addr string) func(context.Context, broker.Message) error {
	conn, err := amqp.Dial(addr)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(tb, err)
	require.NoError(tb, ch.Confirm(false))
	return func(ctx context.Context, m broker.Message) error {
		headers := amqp.Table{}
		for _, h := range m.Headers {
			headers[h.Key] = string(h.Value)
		}
		dc, err := ch.PublishWithDeferredConfirmWithContext(ctx, "driftmesh."+m.Topic, string(m.Key), true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, MessageId: m.ID, Headers: headers, Body: m.Value,
		})
		if err != nil {
			return err
		}
		stored, err := dc.WaitContext(ctx)
		if err == nil && !stored {
			err = errors.New("refused")
		}
		return err
	}
}

// remove deletes an exchange with its queue, or a queue.
func remove(tb testing.TB, addr, topic, group string) {
	conn, err := amqp.Dial(addr)
	require.NoError(tb, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(tb, err)
	if group == "" {
		require.NoError(tb, ch.ExchangeDelete("driftmesh."+topic, false, false))
		group = "g"
	}
	_, err = ch.QueueDelete("driftmesh."+topic+"."+group, false, false, false)
	require.NoError(tb, err)
}

// refused are connections that the broker refuses, or we refuse it.
func refused(s *node.Server) map[string]func(context.Context) error {
	opening := func(url string, config *tls.Config) func(context.Context) error {
		return func(ctx context.Context) error {
			b, err := rabbitmq.Open(ctx, rabbitmq.Config{URL: url, TLS: config})
			if err == nil {
				err = b.Ping(ctx)
				_ = b.Close(ctx)
			}
			return err
		}
	}
	const topic = "refused"
	return map[string]func(context.Context) error{
		"wrong password":          opening(s.URLOf("mesh", "wrong"), nil),
		"no such user":            opening(s.URLOf("nobody", "x"), nil),
		"wrong virtual host":      opening("amqp://mesh:s3cret@"+s.Addr()+"/elsewhere", nil),
		"wrong CA":                opening("amqps://mesh:s3cret@"+s.AddrTLS(), nil),
		"TLS where there is none": opening("amqps://mesh:s3cret@"+s.Addr(), nil),
		"configure permission": func(ctx context.Context) error {
			b, err := rabbitmq.Open(ctx, rabbitmq.Config{URL: s.URLOf("writer", "w")})
			if err != nil {
				return err
			}
			defer b.Close(ctx)
			return b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: topic})
		},
		"publish permission": func(ctx context.Context) error {
			owner, err := rabbitmq.Open(ctx, rabbitmq.Config{URL: s.URL()})
			if err != nil {
				return err
			}
			defer owner.Close(ctx)
			if err := broker.Provision(ctx, owner.Admin(), broker.TopicSpec{Name: topic}, broker.GroupSpec{Name: "g"}); err != nil {
				return err
			}
			b, err := rabbitmq.Open(ctx, rabbitmq.Config{URL: s.URLOf("reader", "r")})
			if err != nil {
				return err
			}
			defer b.Close(ctx)
			p, err := b.Publisher()
			if err != nil {
				return err
			}
			return p.Publish(ctx, []broker.Message{{Topic: topic, Value: []byte("x")}})
		},
	}
}
