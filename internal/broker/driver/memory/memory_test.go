package memory_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a memory broker whose disk survives a kill.
type server struct {
	*memory.Server
	url string
}

func (s server) URL() string { return s.url }
func (s server) Kill()       { s.Down() }
func (s server) Restart()    { s.Up() }

func TestSuite(t *testing.T) {
	var servers sync.Map // by URL
	h := brokertest.Harness{
		Start: func(t *testing.T, _ bool) brokertest.Server {
			s := server{memory.NewServer(), "mem://" + t.Name()}
			servers.Store(s.url, s)
			return s
		},
		Open: func(_ context.Context, url string, lost brokertest.Lost) (broker.Broker, error) {
			s, ok := servers.Load(url)
			if !ok {
				return nil, fmt.Errorf("there is no %s", url)
			}
			return s.(server).Open(memory.Options{Lost: lost}), nil //nolint:forcetypeassert // nothing else is stored
		},
	}
	h.Remove = func(_ testing.TB, url, topic, group string) {
		s, _ := servers.Load(url)
		s.(server).Remove(topic, group) //nolint:forcetypeassert // nothing else is stored
	}
	brokertest.Run(t, h, brokertest.Except{
		"ForeignProducer":       "there is no other client of memory",
		"FullTopicForeign":      "there is no other client of memory",
		"AuthAndTLS":            "there is no connection to secure",
		"SlowLinkLargeMessages": "there is no link to slow",
		"ConsumerKill9MidBatch": "a worker process cannot share memory",
		"PoisonCrashLoop":       "a worker process cannot share memory",
		"TopicMadeAnew":         "what a deleted topic held is not reported as lost",
		"KeyOrder":              "workers share one cursor; Capabilities.Ordered is false",
	})
}
