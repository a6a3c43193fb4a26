package runner_test

import (
	"context"
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
)

// described notes the names of what is registered.
type described struct{ names []string }

func (d *described) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	for desc := range descs {
		d.names = append(d.names, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(desc.String())[1])
	}
	return nil
}

func (d *described) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = d.Register(c)
	}
}

func (d *described) Unregister(prometheus.Collector) bool { return false }

// The table of metrics names what there is, and nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../../docs/metrics.md")
	require.NoError(t, err)
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(driftmesh_broker_[a-z_]+)` \\|").FindAllStringSubmatch(string(raw), -1) {
		documented = append(documented, m[1])
	}
	var there described
	b := broker.NewTelemetry(nil, &there).Instrument(memory.NewServer().Open(memory.Options{}))
	defer func() { require.NoError(t, b.Close(context.Background())) }()
	_, err = runner.New(runner.Config{
		Broker: b, Consumer: broker.ConsumerConfig{Topic: "spans", Group: "g"},
		Handler: func(context.Context, []broker.Delivery) ([]runner.Verdict, error) { return nil, nil },
	})
	require.NoError(t, err)
	require.ElementsMatch(t, there.names, documented)
}
