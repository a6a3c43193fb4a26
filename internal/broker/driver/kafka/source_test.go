package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/internal/broker/sourcetest"
	kafkaserver "github.com/driftmesh/driftmesh/test/server/kafka"
)

func TestSource(t *testing.T) {
	t.Parallel()
	s := kafkaserver.Start(t, kafkaserver.Options{})
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	codecs, n := []kafkago.Compression{kafkago.Gzip, 0, kafkago.Snappy, kafkago.Lz4, kafkago.Zstd}, 0
	sourcetest.Run(t, sourcetest.Harness{
		Server: s,
		Open: func(ctx context.Context, url string, how source.Config) (source.Source, error) {
			return kafka.OpenSource(ctx, kafka.Config{URL: url}, how)
		},
		Make: func(tb testing.TB) {
			_, err := s.Client().CreateTopics(context.Background(), &kafkago.CreateTopicsRequest{
				Topics: []kafkago.TopicConfig{{Topic: sourcetest.Queue, NumPartitions: 2, ReplicationFactor: 1}},
			})
			require.NoError(tb, err)
		},
		Publish: func(tb testing.TB, values ...string) {
			n++
			w := &kafkago.Writer{
				Addr: kafkago.TCP(s.Addr()), Topic: sourcetest.Queue, RequiredAcks: kafkago.RequireAll, Compression: codecs[n%len(codecs)],
				Balancer: &kafkago.RoundRobin{}, Transport: transport, MaxAttempts: 20, BatchSize: len(values),
			}
			var msgs []kafkago.Message
			for _, v := range values {
				msgs = append(msgs, kafkago.Message{Value: []byte(v), Headers: []kafkago.Header{{Key: sourcetest.Header[0], Value: []byte(sourcetest.Header[1])}}})
			}
			require.NoError(tb, w.WriteMessages(context.Background(), msgs...))
			require.NoError(tb, w.Close())
		},
		State: func(tb testing.TB) string {
			m, err := s.Client().Metadata(context.Background(), &kafkago.MetadataRequest{})
			require.NoError(tb, err)
			var topics []string
			for _, topic := range m.Topics {
				topics = append(topics, fmt.Sprint(topic.Name, len(topic.Partitions)))
			}
			slices.Sort(topics)
			return fmt.Sprint(topics)
		},
	}, sourcetest.Except{
		"EachToAll":   "a message goes to one worker of a group",
		"GapsAreTold": "a topic keeps its messages",
	})
}
