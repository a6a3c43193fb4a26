package driver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
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
	tel := broker.NewTelemetry(cfg.Tracer, cfg.Stats)
	system, _, _ := strings.Cut(cfg.URL, "://")
	lost := func(queue, group string, n int64) {
		tel.Lost(source.Traits{System: systems[system], Queue: queue}.Name(), group, n)
	}
	s, err := openSource(ctx, cfg, how, lost)
	if err != nil {
		return nil, nil, fmt.Errorf("open source: %w", err)
	}
	traits := s.Traits()
	cfg.Log.Info("source opened", "broker", traits.System, "queue", traits.Queue, "keeps", traits.Keeps)
	return s, tel.Instrument(source.AsBroker(s)), nil
}

// systems are the brokers of schemes.
var systems = map[string]string{
	"kafka": "kafka", "kafka+tls": "kafka", "amqp": "rabbitmq", "amqps": "rabbitmq",
	"redis": "redis", "rediss": "redis", "redis+sentinel": "redis", "rediss+sentinel": "redis", "redis+cluster": "redis", "rediss+cluster": "redis",
}

func openSource(ctx context.Context, cfg Config, how source.Config, lost func(queue, group string, n int64)) (source.Source, error) {
	scheme, _, _ := strings.Cut(cfg.URL, "://")
	switch systems[scheme] {
	case "kafka":
		return kafka.OpenSource(ctx, kafka.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: lost}, how)
	case "rabbitmq":
		return rabbitmq.OpenSource(ctx, rabbitmq.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: lost}, how)
	case "redis":
		return redis.OpenSource(ctx, redis.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: lost}, how)
	default:
		return nil, fault.Invalid.New("no source is opened by the scheme %q: want kafka, amqp or redis, or one of these encrypted", scheme)
	}
}
