// Package driver opens a broker by its URL. It is the one place that knows
// which brokers there are.
package driver

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka"
	"github.com/driftmesh/driftmesh/internal/broker/driver/memory"
	"github.com/driftmesh/driftmesh/internal/broker/driver/nats"
	"github.com/driftmesh/driftmesh/internal/broker/driver/rabbitmq"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// Config says which broker to open and what the process lends it. Only URL is
// required.
type Config struct {
	// URL chooses the driver by its scheme: nats:// or nats+tls:// for NATS
	// JetStream, kafka:// or kafka+tls:// for Apache Kafka, amqp:// or amqps://
	// for RabbitMQ, redis:// or rediss:// for Redis Streams, with +sentinel or
	// +cluster for many servers of it, mem:// for a broker in this process. The
	// drivers' packages say what else it may hold.
	URL string
	// TLS is used for the connection when given.
	TLS *tls.Config
	// Name is shown by the broker; default "driftmesh".
	Name string
	// Log hears about connections, losses, and what durable means; default:
	// nobody.
	Log *slog.Logger
	// Stats gets the metrics of publishing, consuming and lag; default: none.
	Stats prometheus.Registerer
	// Tracer makes the spans of publishing and consuming; default: none.
	Tracer trace.TracerProvider
	// Seal signs what is published, and checks what comes; default: none.
	Seal broker.Seal
	// Memory is what mem:// connects to; default: a broker of its own.
	Memory *memory.Server
}

// Open opens the broker and instruments it. While the broker is away it
// succeeds and keeps trying (Broker.Ping tells); it fails when the URL is wrong
// or the broker refuses us (broker.ErrDenied).
func Open(ctx context.Context, cfg Config) (broker.Broker, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	tel := broker.NewTelemetry(cfg.Tracer, cfg.Stats)
	tel.Sealed(cfg.Seal)
	b, err := open(ctx, cfg, tel)
	if err != nil {
		return nil, fmt.Errorf("open broker: %w", err)
	}
	caps := b.Capabilities()
	cfg.Log.Info("broker opened", "broker", caps.System, "durability", caps.Durability, "max_message_bytes", caps.MaxMessageBytes)
	return tel.Instrument(b), nil
}

// schemes for a message to people.
const schemes = "nats, nats+tls, kafka, kafka+tls, amqp, amqps, redis, rediss (each also +sentinel, +cluster) and mem"

func open(ctx context.Context, cfg Config, tel *broker.Telemetry) (broker.Broker, error) {
	scheme, _, _ := strings.Cut(cfg.URL, "://")
	switch scheme {
	case "nats", "nats+tls", "tls":
		return nats.Open(ctx, nats.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: tel.Lost})
	case "kafka", "kafka+tls":
		return kafka.Open(ctx, kafka.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: tel.Lost})
	case "amqp", "amqps":
		return rabbitmq.Open(ctx, rabbitmq.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: tel.Lost})
	case "redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
		return redis.Open(ctx, redis.Config{URL: cfg.URL, TLS: cfg.TLS, Name: cfg.Name, Log: cfg.Log, Lost: tel.Lost})
	case "mem":
		server := cfg.Memory
		if server == nil {
			server = memory.NewServer()
		}
		return server.Open(memory.Options{Name: cfg.Name, Log: cfg.Log, Lost: tel.Lost}), nil
	default:
		return nil, fault.Invalid.New("broker URL scheme %q is not supported; supported are %s", scheme, schemes)
	}
}
