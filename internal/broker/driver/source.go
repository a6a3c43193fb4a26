package driver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka"
	"github.com/driftmesh/driftmesh/internal/broker/driver/rabbitmq"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// OpenSource opens a queue of somebody else's at cfg.URL, which is that of Open with one
// parameter more or two: topic and group of kafka://, queue of amqp://, channel of
// redis://. It gives the source, and a broker for the Runner that works it, with the
// telemetry of every broker. Closing the source closes both.
func OpenSource(ctx context.Context, cfg Config, how source.Config) (source.Source, broker.Broker, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	how.Consumer = how.Consumer.WithDefaults()
	if how.Gap == nil {
		how.Gap = func(time.Duration) {}
	}
	system, open, err := sourceOf(cfg.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("open source: %w", err)
	}
	tel := broker.NewTelemetry(cfg.Tracer, cfg.Stats)
	lost := func(queue, group string, n int64) {
		tel.Lost(source.Traits{System: system, Queue: queue}.Name(), group, n)
	}
	s, err := open(ctx, connect.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: lost}, how)
	if err != nil {
		return nil, nil, fmt.Errorf("open source: %w", err)
	}
	traits := s.Traits()
	cfg.Log.Info("source opened", "broker", traits.System, "queue", traits.Queue, "keeps", traits.Keeps)
	return s, tel.Instrument(source.AsBroker(s)), nil
}

// sourceOf is the broker that a URL means, and what opens a source there.
func sourceOf(url string) (system string, open func(context.Context, connect.Config, source.Config) (source.Source, error), err error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "kafka", "kafka+tls":
		return "kafka", kafka.OpenSource, nil
	case "amqp", "amqps":
		return "rabbitmq", rabbitmq.OpenSource, nil
	case "redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
		return "redis", redis.OpenSource, nil
	default:
		return "", nil, fault.Invalid.New("no source is opened by the scheme %q: want kafka, amqp or redis, or one of these encrypted", scheme)
	}
}
