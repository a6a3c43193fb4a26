package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka"
	"github.com/driftmesh/driftmesh/test/server"
	kafkaserver "github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/kafka/fake"
)

func TestMain(m *testing.M) {
	fake.Child()
	brokertest.Main(m, open)
}

// open opens a broker of the suite.
func open(ctx context.Context, url string, lost brokertest.Lost) (broker.Broker, error) {
	return kafka.Open(ctx, kafka.Config{URL: url, Lost: lost})
}

// The whole suite on a fake, which starts in no time.
func TestSuiteOnFake(t *testing.T) {
	shared := fake.Start(t, fake.Options{})
	brokertest.Run(t, brokertest.Harness{
		Start: func(t *testing.T, fault bool) brokertest.Server {
			if fault {
				return fake.Start(t, fake.Options{})
			}
			return shared
		},
		Open:    open,
		Foreign: foreign,
		Refused: refusedByFake,
		Remove:  remove,
	}, brokertest.Except{
		"SlowLinkLargeMessages": "the fake says to clients where it is itself; on Apache Kafka it runs",
		"GroupGone":             "Kafka deletes no group that has workers, and they make it again the moment they are put out",
	})
}

// The whole suite on Apache Kafka.
func TestSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	shared := kafkaserver.Start(t, kafkaserver.Options{})
	var faulty *kafkaserver.Server // cases with faults run one after the other
	brokertest.Run(t, brokertest.Harness{
		Start: func(_ *testing.T, fault bool) brokertest.Server {
			if !fault {
				return shared
			}
			if faulty == nil {
				faulty = kafkaserver.Start(t, kafkaserver.Options{})
			} else {
				faulty.Restart() // whatever the last case left
			}
			return faulty
		},
		Open:    open,
		Foreign: foreign,
		Refused: refused,
		Remove:  remove,
		Slow: func(t *testing.T) (brokertest.Server, *server.Proxy) {
			port := server.FreePort(t)
			link := server.NewProxy(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			return kafkaserver.Start(t, kafkaserver.Options{Port: port, Advertise: link.Addr()}), link
		},
	}, brokertest.Except{
		"GroupGone": "Kafka deletes no group that has workers, and they make it again the moment they are put out",
	})
}

// remove deletes a topic as an operator would.
func remove(tb testing.TB, addr, topic, _ string) {
	u, err := url.Parse(addr)
	require.NoError(tb, err)
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(u.Host), Transport: transport}
	name := "driftmesh." + topic
	res, err := client.DeleteTopics(tb.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{name}})
	require.NoError(tb, err)
	require.NoError(tb, res.Errors[name])
	require.Eventually(tb, func() bool {
		c, err := kafkago.DialContext(tb.Context(), "tcp", u.Host)
		require.NoError(tb, err)
		defer c.Close()
		_, err = c.ReadPartitions(name)
		return errors.Is(err, kafkago.UnknownTopicOrPartition)
	}, 20*time.Second, 20*time.Millisecond)
}

// foreign publishes as any Kafka client would.
func foreign(tb testing.TB, addr string) func(context.Context, broker.Message) error {
	u, err := url.Parse(addr)
	require.NoError(tb, err)
	transport := &kafkago.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	w := &kafkago.Writer{
		Addr: kafkago.TCP(u.Host), RequiredAcks: kafkago.RequireAll, BatchTimeout: time.Millisecond, Transport: transport,
		BatchBytes: 64 << 20, // the broker's limit is the one that counts
	}
	tb.Cleanup(func() { _ = w.Close() })
	return func(ctx context.Context, m broker.Message) error {
		msg := kafkago.Message{
			Topic: "driftmesh." + m.Topic, Key: m.Key, Value: m.Value,
			Headers: []kafkago.Header{{Key: "driftmesh-x-id", Value: []byte(m.ID)}},
		}
		for _, h := range m.Headers {
			msg.Headers = append(msg.Headers, kafkago.Header{Key: h.Key, Value: h.Value})
		}
		return w.WriteMessages(ctx, msg)
	}
}

// opening is a connection that should be refused.
func opening(url string, config *tls.Config) func(context.Context) error {
	return func(ctx context.Context) error {
		b, err := kafka.Open(ctx, kafka.Config{URL: url, TLS: config})
		if err == nil {
			err = b.Ping(ctx)
			_ = b.Close(ctx)
		}
		return err
	}
}

// publish publishes as a user who may not.
func publish(url, topic string) func(context.Context) error {
	return func(ctx context.Context) error {
		b, err := kafka.Open(ctx, kafka.Config{URL: url})
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer b.Close(ctx)
		p, err := b.Publisher()
		if err != nil {
			return err
		}
		return p.Publish(ctx, []broker.Message{{Topic: topic, Value: []byte("x")}})
	}
}

func refusedByFake(tb testing.TB) map[string]func(context.Context) error {
	secret := fake.Start(tb, fake.Options{
		Mechanism: kafkaserver.ScramSHA256, ACLs: true, Users: map[string]string{"admin": "s3cret", "reader": "read"},
	})
	private := fake.Start(tb, fake.Options{TLS: server.NewCertificate(tb)})
	provision(tb, kafka.Config{URL: secret.URL()})
	return map[string]func(context.Context) error{
		"wrong password":     opening(secret.URLAs("admin", "wrong"), nil),
		"no such user":       opening(secret.URLAs("nobody", "s3cret"), nil),
		"wrong mechanism":    opening(strings.Replace(secret.URL(), "sasl=scram-sha-256", "sasl=plain", 1), nil),
		"wrong CA":           opening("kafka+tls://"+private.Addr(), nil),
		"publish permission": publish(secret.URLAs("reader", "read"), "spans"),
	}
}

// provision makes the topic spans.
func provision(tb testing.TB, cfg kafka.Config) {
	tb.Helper()
	b, err := kafka.Open(tb.Context(), cfg)
	require.NoError(tb, err)
	defer b.Close(tb.Context())
	require.NoError(tb, b.Admin().EnsureTopic(tb.Context(), broker.TopicSpec{Name: "spans"}))
}

func refused(tb testing.TB) map[string]func(context.Context) error {
	plain := kafkaserver.Start(tb, kafkaserver.Options{Mechanism: kafkaserver.Plain, Users: map[string]string{"reader": "read"}, ACLs: true})
	private := kafkaserver.Start(tb, kafkaserver.Options{Mechanism: kafkaserver.ScramSHA512, TLS: server.NewCertificate(tb)})
	provision(tb, kafka.Config{URL: plain.URL()})
	provision(tb, kafka.Config{URL: private.URL()}) // the right CA and password
	addr := strings.TrimPrefix(private.Addr(), "kafka+tls://")
	return map[string]func(context.Context) error{
		"wrong password":       opening(plain.URLAs("admin", "wrong"), nil),
		"wrong SCRAM password": opening(private.URLAs("admin", "wrong"), nil),
		"no such user":         opening(plain.URLAs("nobody", "x"), nil),
		"wrong mechanism":      opening(strings.Replace(plain.URL(), "sasl=plain", "sasl=scram-sha-256", 1), nil),
		"wrong CA":             opening("kafka+tls://admin:admin-secret@"+addr+"?sasl=scram-sha-512", nil),
		"publish permission":   publish(plain.URLAs("reader", "read"), "spans"),
	}
}
