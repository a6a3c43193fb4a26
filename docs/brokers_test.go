// Package docs_test holds docs/brokers.md against the brokers themselves: the
// permissions it gives are enough for the mesh, and no more than a producer
// needs for a producer.
package docs_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

const password = "s3cret"

// matches are the submatches of a pattern in the document, at least two: the
// mesh and a producer.
func matches(t *testing.T, pattern string) [][]string {
	t.Helper()
	raw, err := os.ReadFile("brokers.md")
	require.NoError(t, err)
	text := strings.ReplaceAll(string(raw), "\\\n", " ") // continued lines
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	require.GreaterOrEqual(t, len(found), 2, "brokers.md does not say %s", pattern)
	return found
}

func TestPermissionsOnNATS(t *testing.T) {
	raw, err := os.ReadFile("brokers.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```nats\n(.*?)```").FindSubmatch(raw)
	require.Len(t, found, 2)
	text := strings.ReplaceAll(string(found[1]), "/var/lib/nats", t.TempDir())
	for _, secret := range []string{"MESH_PASSWORD", "PRODUCER_PASSWORD"} {
		text = strings.ReplaceAll(text, secret, password)
	}
	file := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	opts, err := natsserver.ProcessConfigFile(file)
	require.NoError(t, err)
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", natsserver.RANDOM_PORT, true, true
	s, err := natsserver.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(10*time.Second))
	url := func(user string) string { return "nats://" + user + ":" + password + "@" + s.Addr().String() }
	works(t, url("mesh"))
	mayOnlyProduce(t, url("producer"))
}

func TestPermissionsOnKafka(t *testing.T) {
	s := kafka.Start(t, kafka.Options{Mechanism: kafka.ScramSHA512, ACLs: true, Users: map[string]string{"mesh": password, "producer": password}})
	req := &kafkago.CreateACLsRequest{}
	for _, m := range matches(t, `kafka-acls\.sh .*--allow-principal (User:\w+) +((?:--operation \w+ +)+)--(topic|group) (\S+)( +--resource-pattern-type prefixed)?`) {
		entry := kafkago.ACLEntry{
			Principal: m[1], PermissionType: kafkago.ACLPermissionTypeAllow, Host: "*", ResourceName: m[4],
			ResourcePatternType: kafkago.PatternTypeLiteral, ResourceType: kafkago.ResourceTypeTopic,
		}
		if m[3] == "group" {
			entry.ResourceType = kafkago.ResourceTypeGroup
		}
		if m[5] != "" {
			entry.ResourcePatternType = kafkago.PatternTypePrefixed
		}
		for _, op := range regexp.MustCompile(`--operation (\w+)`).FindAllStringSubmatch(m[2], -1) {
			require.NoError(t, entry.Operation.UnmarshalText([]byte(op[1])))
			req.ACLs = append(req.ACLs, entry)
		}
	}
	res, err := s.Client().CreateACLs(t.Context(), req)
	require.NoError(t, err)
	for _, err := range res.Errors {
		require.NoError(t, err)
	}
	works(t, s.URLAs("mesh", password))
	mayOnlyProduce(t, s.URLAs("producer", password))
}

func TestPermissionsOnRabbitMQ(t *testing.T) {
	users := map[string]rabbitmq.User{}
	for _, m := range matches(t, `rabbitmqctl set_permissions (\w+) +'([^']*)' +'([^']*)' +'([^']*)'`) {
		users[m[1]] = rabbitmq.User{Password: password, Configure: m[2], Write: m[3], Read: m[4]}
	}
	mesh := users["mesh"]
	mesh.Tags = "monitoring" // for the management API, as the document says
	users["mesh"] = mesh
	s := rabbitmq.Start(t, rabbitmq.Options{Users: users, Management: true})
	works(t, s.URLOf("mesh", password))
	mayOnlyProduce(t, s.URLOf("producer", password))
}

func TestPermissionsOnRedis(t *testing.T) {
	users := map[string]redis.User{}
	for _, m := range matches(t, `(?m)^user (mesh|producer) on >\w+ (.*)$`) {
		users[m[1]] = redis.User{Password: password, Rules: m[2]}
	}
	off := matches(t, `(?m)^user (\w+) (off|on) `)[0]
	require.Equal(t, []string{"default", "off"}, off[1:])
	s := redis.Start(t, redis.Options{Users: users}) // with the user default as the document has it
	require.Contains(t, s.Config(), matches(t, `(?m)^user (default|mesh) .*$`)[0][0]+"\n")
	works(t, s.URLOf("mesh", password))
	mayOnlyProduce(t, s.URLOf("producer", password))
	s.Restart()
	b := open(t, s.URLOf("mesh", password))
	require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, 10*time.Second, 50*time.Millisecond)
	lag, err := b.Admin().Lag(t.Context(), event.Inbox, event.GroupIngest)
	require.NoError(t, err)
	require.EqualValues(t, 3, lag.Total(), "what was acknowledged is there after a restart, and so is the group")
}

func open(t *testing.T, url string) broker.Broker {
	t.Helper()
	b, err := driver.Open(t.Context(), driver.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

// works does with the rights of a user whatever the mesh does.
func works(t *testing.T, url string) {
	t.Helper()
	b := open(t, url)
	require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, 10*time.Second, 50*time.Millisecond)
	p, err := b.Publisher()
	require.NoError(t, err)
	for _, topic := range event.All() {
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: topic.Name, MaxBytes: 1 << 30}))
		for _, group := range topic.Groups {
			require.NoError(t, b.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: topic.Name, Name: group}))
		}
		require.NoError(t, p.Publish(t.Context(), []broker.Message{{Topic: topic.Name, Value: []byte("1")}, {Topic: topic.Name, Value: []byte("2")}}))
	}
	tail, err := b.Tail(t.Context(), event.Spans)
	require.NoError(t, err)
	consumes(t, b, p)
	_, err = tail.Next(t.Context())
	require.NoError(t, err)
	require.NoError(t, tail.Close())
}

// consumes gives one message back, acknowledges everything, and asks for the
// lag.
func consumes(t *testing.T, b broker.Broker, p broker.Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := b.Consumer(broker.ConsumerConfig{Topic: event.Spans, Group: event.GroupTraceStore, Linger: 10 * time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, p.Publish(ctx, []broker.Message{{Topic: event.Spans, Value: []byte("3")}}))
	for left, again := 3, []int{0}; left > 0; again = nil {
		batch, err := c.Receive(ctx)
		require.NoError(t, err)
		left -= len(batch.Deliveries) - len(again)
		require.NoError(t, batch.Extend(ctx))
		require.NoError(t, batch.Settle(ctx, again, 0))
	}
	require.NoError(t, c.Close(ctx))
	require.Eventually(t, func() bool {
		lag, err := b.Admin().Lag(ctx, event.Spans, event.GroupTraceStore)
		return err == nil && lag.Known && lag.Total() == 0
	}, 20*time.Second, 100*time.Millisecond)
}

// mayOnlyProduce publishes to the inbox, and can do nothing else.
func mayOnlyProduce(t *testing.T, url string) {
	t.Helper()
	b := open(t, url)
	p, err := b.Publisher()
	require.NoError(t, err)
	publish := func(topic string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return p.Publish(ctx, []broker.Message{{Topic: topic, Value: []byte("x"), ID: "1"}})
	}
	require.NoError(t, publish(event.Inbox))
	for _, topic := range []string{event.Spans, event.Records, event.Retry(event.Inbox), broker.DLQ(event.Inbox)} {
		require.Error(t, publish(topic), topic)
	}
	c, err := b.Consumer(broker.ConsumerConfig{Topic: event.Inbox, Group: event.GroupIngest})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = c.Receive(ctx)
	require.Error(t, err)
	require.Error(t, b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "other"}))
}
