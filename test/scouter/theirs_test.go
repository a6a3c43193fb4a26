package scouter_test

import (
	"strings"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	goredis "github.com/redis/go-redis/v9"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

// theirs are the brokers that the client publishes to.
type theirs struct {
	kafka    *kafka.Server
	rabbitmq *rabbitmq.Server
	redis    *redis.Server
}

// ways are the names of these brokers, as drive.py has them.
var ways = []string{"kafka", "rabbitmq", "redis"}

// queue is what they publish to.
const queue = "scouter_monitoring"

// startTheirs starts the brokers. Kafka has the topic; the queue of RabbitMQ is declared
// by whoever publishes first.
func startTheirs(t *testing.T) (b theirs) {
	t.Helper()
	var all sync.WaitGroup
	all.Go(func() { b.kafka = kafka.Start(t, kafka.Options{}) })
	all.Go(func() { b.rabbitmq = rabbitmq.Start(t, rabbitmq.Options{}) })
	all.Go(func() { b.redis = redis.Start(t, redis.Options{}) })
	all.Wait()
	made, err := b.kafka.Client().CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{
		Topics: []kafkago.TopicConfig{{Topic: queue, NumPartitions: 3, ReplicationFactor: 1}},
	})
	require.NoError(t, err)
	require.NoError(t, made.Errors[queue])
	return b
}

func (b theirs) settings() map[string]string {
	return map[string]string{"kafka": "kafka://" + b.kafka.Addr(), "rabbitmq": b.rabbitmq.URL(), "redis": b.redis.URL()}
}

// flags let a mesh in one program take what is published there.
func (b theirs) flags() (list []string) {
	for name, url := range b.settings() {
		list = append(list, "--ingest-worker.scouter-"+name, url)
	}
	return list
}

// variables let a mesh of five programs.
func (b theirs) variables() (list []string) {
	for name, url := range b.settings() {
		list = append(list, "DRIFTMESH_INGEST_WORKER_SCOUTER_"+strings.ToUpper(name)+"="+url)
	}
	return list
}

// addresses are how the client is told.
func (b theirs) addresses() []string {
	return []string{"--kafka", b.kafka.Addr(), "--rabbitmq", b.rabbitmq.Addr(), "--redis", strings.TrimSuffix(b.redis.URL(), "/0")}
}

// behind is how many messages the mesh has not acknowledged on Kafka, and how many it has
// not got on RabbitMQ.
func (b theirs) behind(t *testing.T) (onKafka, onRabbitMQ int64) {
	t.Helper()
	c, ask := b.kafka.Client(), []kafkago.OffsetRequest{kafkago.LastOffsetOf(0), kafkago.LastOffsetOf(1), kafkago.LastOffsetOf(2)}
	ends, err := c.ListOffsets(t.Context(), &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{queue: ask}})
	require.NoError(t, err)
	read, err := c.OffsetFetch(t.Context(), &kafkago.OffsetFetchRequest{GroupID: "driftmesh", Topics: map[string][]int{queue: {0, 1, 2}}})
	require.NoError(t, err)
	for _, p := range ends.Topics[queue] {
		onKafka += p.LastOffset
	}
	for _, p := range read.Topics[queue] {
		onKafka -= p.CommittedOffset
	}
	conn, err := amqp.Dial(b.rabbitmq.URL())
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
	require.NoError(t, err)
	return onKafka, int64(q.Messages)
}

// drive begins a run of the published client over one of them.
func (b theirs) drive(t *testing.T, m mesh.Addresses, way string) *script {
	t.Helper()
	return begin(t, "drive.py", append(b.addresses(), "--transport", way, "--run", way, "--http", "http://"+m.HTTP,
		"--otlp-http", "http://"+m.OTLPHTTP, "--otlp-grpc", "http://"+m.OTLPGRPC, "--verify")...)
}

// publish publishes messages as the client does: nothing but the value, and on Kafka in
// batches, of which each is compressed in another way. traceparent, if any, is of all.
func (b theirs) publish(t *testing.T, way, traceparent string, values ...[]byte) {
	t.Helper()
	switch way {
	case "kafka":
		b.toKafka(t, traceparent, values)
	case "rabbitmq":
		conn, err := amqp.Dial(b.rabbitmq.URL())
		require.NoError(t, err)
		defer conn.Close()
		ch, err := conn.Channel()
		require.NoError(t, err)
		_, err = ch.QueueDeclare(queue, false, false, false, false, nil)
		require.NoError(t, err)
		require.NoError(t, ch.Confirm(false))
		for _, v := range values {
			out := amqp.Publishing{Body: v}
			if traceparent != "" {
				out.Headers = amqp.Table{"traceparent": traceparent}
			}
			sent, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, false, false, out)
			require.NoError(t, err)
			require.True(t, sent.Wait())
		}
	case "redis":
		opt, err := goredis.ParseURL(b.redis.URL())
		require.NoError(t, err)
		c := goredis.NewClient(opt)
		defer c.Close()
		for _, v := range values {
			require.NoError(t, c.Publish(t.Context(), queue, v).Err())
		}
	}
}

func (b theirs) toKafka(t *testing.T, traceparent string, values [][]byte) {
	t.Helper()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	codecs := []kafkago.Compression{0, kafkago.Gzip, kafkago.Snappy, kafkago.Lz4, kafkago.Zstd}
	for i, v := range values {
		w := &kafkago.Writer{
			Transport: transport,
			Addr:      kafkago.TCP(b.kafka.Addr()), Topic: queue, Compression: codecs[i%len(codecs)], RequiredAcks: kafkago.RequireAll,
			Balancer: &kafkago.RoundRobin{}, BatchSize: 1, BatchBytes: 1 << 20, MaxAttempts: 50,
		}
		m := kafkago.Message{Value: v}
		if traceparent != "" {
			m.Headers = []kafkago.Header{{Key: "traceparent", Value: []byte(traceparent)}}
		}
		require.NoError(t, w.WriteMessages(t.Context(), m))
		require.NoError(t, w.Close())
	}
}
