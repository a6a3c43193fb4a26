package kafka_test

import (
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/kafka"
)

func TestServer(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; runs without -short")
	}
	for name, opts := range map[string]kafka.Options{
		"open":      {},
		"plain":     {Mechanism: kafka.Plain, Users: map[string]string{"a": "b"}},
		"scram+tls": {Mechanism: kafka.ScramSHA512, TLS: server.NewCertificate(t), ACLs: true},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			s := kafka.Start(t, opts)
			t.Logf("started in %v: %s", time.Since(start), s.URL())
			_, err := s.Client().CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
				Topic: "t", NumPartitions: 1, ReplicationFactor: 1,
			}}})
			require.NoError(t, err)
			start = time.Now()
			s.Kill()
			s.Restart()
			t.Logf("restarted in %v", time.Since(start))
			m, err := s.Client().Metadata(t.Context(), &kafkago.MetadataRequest{Topics: []string{"t"}})
			require.NoError(t, err)
			require.Len(t, m.Topics[0].Partitions, 1, "what was made is there")
		})
	}
}
