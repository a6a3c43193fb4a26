// Package transport_test holds the transports of module sdk/broker against real
// brokers, with the rights of a producer and nobody but the test to read what they
// publish. How the mesh takes it is shown in test/mesh.
package transport_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/sdk"
	transportkafka "github.com/driftmesh/driftmesh/sdk/broker/kafka"
	transportnats "github.com/driftmesh/driftmesh/sdk/broker/nats"
	transportrabbitmq "github.com/driftmesh/driftmesh/sdk/broker/rabbitmq"
	transportredis "github.com/driftmesh/driftmesh/sdk/broker/redis"
	"github.com/driftmesh/driftmesh/sdk/transporttest"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/nats"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

func TestMain(m *testing.M) {
	nats.Child()
	os.Exit(m.Run())
}

const (
	password   = "s3cret-producer"
	apiKey     = "dmk_not-for-anybodys-eyes"
	inboxBytes = 48 << 20
)

// side is a broker with an inbox that nobody but the test reads.
type side struct {
	server.Broker
	mesh     string // URL with the rights of the mesh
	producer string // URL with those of a producer
	open     sdk.OpenTransport

	consumer broker.Consumer
	admin    broker.Admin

	seen  map[[32]byte]bool // messages by id and value, as the mesh knows them
	items map[string]int    // in the messages
	all   []broker.Delivery // without their values
}

// newSide provisions the inbox, as the mesh does.
func newSide(t *testing.T, b server.Broker, mesh, producer string, open sdk.OpenTransport) *side {
	t.Helper()
	s := &side{Broker: b, mesh: mesh, producer: producer, open: open, seen: map[[32]byte]bool{}, items: map[string]int{}}
	d, err := driver.Open(t.Context(), driver.Config{URL: mesh, Name: "reader"})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = d.Close(ctx)
	})
	s.admin = d.Admin()
	require.Eventually(t, func() bool { return d.Ping(t.Context()) == nil }, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, broker.Provision(t.Context(), s.admin, broker.TopicSpec{Name: event.Inbox, MaxBytes: inboxBytes, Dedupe: broker.NoDedupe},
		broker.GroupSpec{Name: event.GroupIngest}))
	s.consumer, err = d.Consumer(broker.ConsumerConfig{
		Topic: event.Inbox, Group: event.GroupIngest, Linger: 20 * time.Millisecond, MaxMessages: 64, MaxBytes: 4 << 20, MaxInFlight: 1, Forget: true,
	})
	require.NoError(t, err)
	return s
}

// authorization is that of a producer with an API key.
func authorization(context.Context) (map[string]string, error) {
	return map[string]string{"x-api-key": apiKey}, nil
}

func (s *side) transport(t *testing.T, address string) sdk.Transport {
	t.Helper()
	tr, err := s.open(address, sdk.TransportConfig{Authorization: authorization})
	require.NoError(t, err)
	return tr
}

// read reads the inbox until it is empty.
func (s *side) read(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for empty := false; !empty; {
		require.True(t, time.Now().Before(deadline), "the inbox is never empty")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		batch, err := s.consumer.Receive(ctx)
		cancel()
		if err == nil {
			s.take(t, batch.Deliveries)
			_ = batch.Ack(t.Context()) // else it comes again
			continue
		}
		lag, err := s.admin.Lag(t.Context(), event.Inbox, event.GroupIngest)
		empty = err == nil && lag.Known && lag.Total() == 0
	}
}

func (s *side) take(t *testing.T, ds []broker.Delivery) {
	t.Helper()
	for _, d := range ds {
		key := sha256.Sum256(append([]byte(d.ID+"\x00"), d.Value...))
		if s.seen[key] {
			continue
		}
		s.seen[key] = true
		items, err := transporttest.Items(sdk.Type(d.Header(event.HeaderType)), d.Value)
		require.NoError(t, err)
		for _, item := range items {
			s.items[item]++
		}
		d.Value = nil
		s.all = append(s.all, d)
	}
}

// stored counts the items of a run.
func (s *side) stored(t *testing.T, run *transporttest.Series, _ []string) map[string]int {
	t.Helper()
	s.read(t)
	counts := maps.Clone(s.items)
	maps.DeleteFunc(counts, func(item string, _ int) bool { return !strings.HasPrefix(item, run.Prefix()) })
	return counts
}

// traced requires a message that was sent in a trace, with the producer's key.
func (s *side) traced(t *testing.T, id string) {
	t.Helper()
	for _, d := range s.all {
		if strings.HasPrefix(d.Header(event.HeaderTraceParent), "00-"+id+"-0102030000000000-01") {
			require.Equal(t, apiKey, d.Header(event.HeaderAPIKey))
			require.NotEmpty(t, d.ID)
			return
		}
	}
	t.Fatalf("no message was sent in the trace %s", id)
}

// harness is the suite's, with connections that the broker refuses: these, and what
// every broker does.
func (s *side) harness(t *testing.T, refused map[string]string) transporttest.Harness {
	t.Helper()
	all := map[string]string{
		"a wrong password":           as(t, s.producer, "producer", "wrong-password"),
		"a user who may not publish": as(t, s.producer, "reader", password),
	}
	maps.Copy(all, refused)
	return transporttest.Harness{
		Open:   func(t *testing.T) sdk.Transport { return s.transport(t, s.producer) },
		Stored: s.stored, Traced: s.traced,
		Refused: func(t *testing.T) map[string]sdk.Transport {
			open := map[string]sdk.Transport{}
			for why, address := range all {
				open[why] = s.transport(t, address)
			}
			return open
		},
		Secrets: []string{password, "wrong-password", apiKey},
		Kill:    s.Kill, Restart: s.Restart, Freeze: s.Freeze, Thaw: s.Thaw, FullAt: inboxBytes,
		Faults: []transporttest.Fault{
			{Name: "frozen for three seconds", Do: func(*testing.T) {
				s.Freeze()
				time.Sleep(3 * time.Second) // longer than any of its callers' patience
				s.Thaw()
			}},
		},
	}
}

func as(t *testing.T, address, user, word string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.UserPassword(user, word)
	query := u.Query()
	for _, mesh := range []string{"session-timeout", "partitions", "management"} { // not a producer's
		query.Del(mesh)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func startNATS(t *testing.T) *side {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
max_payload: 2MB
accounts {
  MESH {
    jetstream: enabled
    users: [{user: mesh, password: mesh}]
    exports: [{service: driftmesh.inbox, accounts: [PRODUCERS]}]
  }
  PRODUCERS {
    users: [
      {user: producer, password: %q, permissions: {publish: driftmesh.inbox, subscribe: "_INBOX.>"}}
      {user: reader, password: %q, permissions: {publish: elsewhere, subscribe: "_INBOX.>"}}
    ]
    imports: [{service: {account: MESH, subject: driftmesh.inbox}}]
  }
}`, password, password), 0o600))
	s := nats.Start(t, nats.Options{ConfigFile: file})
	return newSide(t, s, s.URLAs("mesh", "mesh"), s.URLAs("producer", password), transportnats.New)
}

func TestNATS(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	transporttest.Run(t, s.harness(t, map[string]string{
		"TLS with a server that has none":   strings.Replace(s.producer, "nats://", "nats+tls://", 1),
		"nobody, where somebody is wanted":  "nats://" + hostOf(t, s.producer),
		"a token, where a user is expected": "nats://" + hostOf(t, s.producer) + "?token-file=" + secretFile(t),
	}), nil)
}

func secretFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
	return file
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Host
}

func startKafka(t *testing.T) *side {
	t.Helper()
	s := kafka.Start(t, kafka.Options{
		Mechanism: kafka.ScramSHA512, ACLs: true, Users: map[string]string{"producer": password, "reader": password},
	})
	allow := func(user string, operation kafkago.ACLOperationType) kafkago.ACLEntry {
		return kafkago.ACLEntry{
			Principal: "User:" + user, PermissionType: kafkago.ACLPermissionTypeAllow, Host: "*", Operation: operation,
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: "driftmesh.inbox", ResourcePatternType: kafkago.PatternTypeLiteral,
		}
	}
	res, err := s.Client().CreateACLs(t.Context(), &kafkago.CreateACLsRequest{ACLs: []kafkago.ACLEntry{
		allow("producer", kafkago.ACLOperationTypeDescribe), allow("producer", kafkago.ACLOperationTypeWrite), allow("reader", kafkago.ACLOperationTypeDescribe),
	}})
	require.NoError(t, err)
	for _, err := range res.Errors {
		require.NoError(t, err)
	}
	return newSide(t, s, s.URL(), as(t, s.URL(), "producer", password), transportkafka.New)
}

func TestKafka(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	transporttest.Run(t, s.harness(t, map[string]string{
		"another mechanism": strings.Replace(s.producer, "scram-sha-512", "plain", 1),
	}), transporttest.Except{"Full": "Kafka refuses nothing for a backlog: at the end of its retention it deletes the oldest. TestKafkaLimits shows what bounds producers"})
}

func startRabbitMQ(t *testing.T) *side {
	t.Helper()
	s := rabbitmq.Start(t, rabbitmq.Options{Management: true, Users: map[string]rabbitmq.User{
		"mesh":     {Password: "mesh", Configure: ".*", Write: ".*", Read: ".*", Tags: "monitoring"},
		"producer": {Password: password, Configure: "^$", Write: `^driftmesh\.inbox$`, Read: "^$"},
		"reader":   {Password: password, Configure: "^$", Write: "^$", Read: ".*"},
	}})
	end := newSide(t, s, s.URLOf("mesh", "mesh"), as(t, s.URLOf("producer", password), "producer", password), transportrabbitmq.New)
	s.Settle()
	return end
}

func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	s := startRabbitMQ(t)
	transporttest.Run(t, s.harness(t, map[string]string{
		"another virtual host": s.producer + "/elsewhere",
	}), nil)
}

func startRedis(t *testing.T) *side {
	t.Helper()
	s := redis.Start(t, redis.Options{Users: map[string]redis.User{
		"mesh":     {Password: "mesh", Rules: "~driftmesh:* +@all"},
		"producer": {Password: password, Rules: "~driftmesh:{inbox} -@all +hello +auth +ping +select +client|setname +xadd"},
		"reader":   {Password: password, Rules: "~driftmesh:{inbox} -@all +hello +auth +ping +select +client|setname +xread"},
	}})
	return newSide(t, s, s.URLOf("mesh", "mesh"), s.URLOf("producer", password), transportredis.New)
}

func TestRedis(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	transporttest.Run(t, s.harness(t, nil), nil)
}
