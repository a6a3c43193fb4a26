package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/settings"
)

// ScouterConfig is what can be set about the brokers that Scouter's clients publish to.
type ScouterConfig struct {
	Kafka    settings.Secret `secret:"url" help:"Where Scouter's clients publish on Kafka: kafka://USER:PASSWORD@HOST:9092, kafka+tls:// for an encrypted connection; with ?topic= (scouter_monitoring) and ?group= (driftmesh) of another name. The topic is read as it is found, from its beginning. Off when empty." placeholder:"URL"`
	RabbitMQ settings.Secret `name:"rabbitmq" secret:"url" help:"Where Scouter's clients publish on RabbitMQ: amqp://USER:PASSWORD@HOST:5672/VHOST, amqps:// for an encrypted connection; with ?queue= of another name than scouter_monitoring. The queue is taken as it is found, and waited for. Off when empty." placeholder:"URL"`
	Redis    settings.Secret `secret:"url" help:"Where Scouter's clients publish on Redis: redis://USER:PASSWORD@HOST:6379, rediss:// for an encrypted connection; with ?channel= of another name than scouter_monitoring. Redis keeps nothing: what is published while no ingest-worker listens is lost. Off when empty." placeholder:"URL"`
	Tenant   string          `help:"Tenant of what comes by these brokers, which tell nobody apart." default:"default"`
}

// check reports every setting that cannot work.
func (c ScouterConfig) check() error {
	if c.Tenant == "" {
		return nil // made by hand: the default
	}
	if err := identity.ValidTenant(c.Tenant); err != nil {
		return fmt.Errorf("scouter-tenant: %w", err)
	}
	return nil
}

// Names of what Scouter's clients publish to and, where workers share it, of the
// workers.
const (
	scouterQueue = "scouter_monitoring"
	scouterGroup = "driftmesh"
)

// Source is an open source of what Scouter's clients publish.
type Source struct {
	source.Source
	Broker broker.Broker // from which a runner works it
}

// sourceLinger is how long a message waits for others: nobody waits for it.
const sourceLinger = 20 * time.Millisecond

// openSources opens those that the settings name. What it returns must be closed, also
// after an error.
func openSources(ctx context.Context, cfg Config, env process.Env) (open []Source, err error) {
	gaps, err := newGapMetrics(env.Stats)
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		system string
		url    settings.Secret
	}{{"kafka", cfg.Scouter.Kafka}, {"rabbitmq", cfg.Scouter.RabbitMQ}, {"redis", cfg.Scouter.Redis}} {
		if s.url.Reveal() == "" {
			continue
		}
		one, b, err := env.OpenSource(ctx, name+".scouter-"+s.system, s.url, source.Config{
			Consumer: broker.ConsumerConfig{
				Topic: scouterQueue, Group: scouterGroup, Member: name,
				MaxMessages: cfg.Messages, MaxBytes: int(cfg.Bytes), Linger: sourceLinger, MaxInFlight: cfg.Parallel,
			},
			Gap: func(deaf time.Duration) { gaps.gap(s.system, deaf) },
		})
		if err != nil {
			return open, err
		}
		open = append(open, Source{one, b})
	}
	return open, nil
}

func closeSources(ctx context.Context, open []Source) error {
	var errs []error
	for _, s := range open {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(errs...)
}
