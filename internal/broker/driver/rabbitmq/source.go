package rabbitmq

import (
	"cmp"
	"context"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/internal/broker/source"
)

// origin is a queue of somebody else's, of any type, durable or not. It is never
// declared: who publishes declares it, and whoever does so with other arguments than
// the first is refused by the broker. Until then it is waited for.
type origin struct {
	*consumer
	conn *conn
}

var _ source.Source = (*origin)(nil)

// OpenSource opens a queue of somebody else's. Its URL is that of Open with the
// parameter queue.
func OpenSource(ctx context.Context, cfg Config, how source.Config) (source.Source, error) {
	rest, own, err := connect.Cut(cfg.URL, "queue")
	if err != nil {
		return nil, err
	}
	t, err := parse(rest)
	if err != nil {
		return nil, err
	}
	t.queue = cmp.Or(own["queue"], how.Consumer.Topic)
	how.Consumer.Topic = t.queue
	if t.queue == "" || len(t.queue) > maxShort {
		return nil, fmt.Errorf("%w: a source needs the name of a queue, of at most %d bytes", broker.ErrInvalid, maxShort)
	}
	c, err := connectTo(ctx, cfg, t)
	if err != nil {
		return nil, err
	}
	l, err := c.reader() //nolint:contextcheck // it lives until Close
	if err != nil {
		return nil, err
	}
	k := newConsumer(c, l, how.Consumer)
	return &origin{consumer: k, conn: c}, c.children.Add(k)
}

// Ping implements source.Source.
func (o *origin) Ping(ctx context.Context) error { return o.conn.Ping(ctx) }

// Lag implements source.Source.
func (o *origin) Lag(ctx context.Context) (broker.Lag, error) {
	return admin{o.conn}.Lag(ctx, o.cfg.Topic, o.cfg.Group)
}

// Traits implements source.Source.
func (o *origin) Traits() source.Traits {
	return source.Traits{System: "rabbitmq", Queue: o.cfg.Topic, Group: o.cfg.Group, Keeps: true, Shared: true, Headers: true}
}

// Close implements source.Source.
func (o *origin) Close(ctx context.Context) error { return o.conn.Close(ctx) }
