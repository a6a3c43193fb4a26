package memory_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a memory broker whose disk survives a kill.
type server struct{ *memory.Server }

func (server) Addr() string         { return "mem://" }
func (s server) Kill(testing.TB)    { s.Down() }
func (s server) Restart(testing.TB) { s.Up() }

func (s server) Dial(_ context.Context, lost brokertest.Lost) (broker.Broker, error) {
	return s.Open(memory.Options{Lost: lost}), nil
}

func TestSuite(t *testing.T) {
	h := brokertest.Harness{
		Start: func(testing.TB, bool) brokertest.Server { return server{memory.NewServer()} },
	}
	brokertest.Run(t, h, brokertest.Except{
		"ForeignProducer":       "there is no other client of memory",
		"AuthAndTLS":            "there is no connection to secure",
		"ConsumerKill9MidBatch": "a worker process cannot share memory",
		"PoisonCrashLoop":       "a worker process cannot share memory",
		"KeyOrder":              "workers share one cursor; Capabilities.Ordered is false",
	})
}
