package kafka

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
	"github.com/driftmesh/driftmesh/internal/broker/source"
)

// origin is a topic of somebody else's. The group is ours and begins at the first
// message that is retained; offsets are committed as for our own topics, behind what
// is acknowledged.
type origin struct {
	*consumer
	conn  *conn
	group broker.GroupSpec
	made  bool // the group; used by Receive alone
}

var _ source.Source = (*origin)(nil)

// OpenSource opens a topic of somebody else's. Its URL is that of Open with the
// parameters topic and group; nothing is put before their names.
func OpenSource(ctx context.Context, cfg Config, how source.Config) (source.Source, error) {
	rest, own, err := connect.Cut(cfg.URL, "topic", "group")
	if err != nil {
		return nil, err
	}
	t, err := parse(rest)
	if err != nil {
		return nil, err
	}
	how.Consumer.Topic, how.Consumer.Group = cmp.Or(own["topic"], how.Consumer.Topic), cmp.Or(own["group"], how.Consumer.Group)
	t.prefix, t.gid = "", how.Consumer.Group
	if how.Consumer.Topic == "" || how.Consumer.Group == "" {
		return nil, fmt.Errorf("%w: a source needs a topic and a group", broker.ErrInvalid)
	}
	c, err := connectTo(ctx, cfg, t)
	if err != nil {
		return nil, err
	}
	k := newConsumer(c, how.Consumer)
	return &origin{consumer: k, conn: c, group: broker.GroupSpec{Topic: how.Consumer.Topic, Name: how.Consumer.Group}}, c.children.Add(k)
}

// Receive implements source.Source.
func (o *origin) Receive(ctx context.Context) (*broker.Batch, error) {
	for wait := backoff(0); !o.made; wait = wait.next() {
		err := o.make(ctx)
		if o.made = err == nil; o.made {
			break
		}
		if wait == 0 && ctx.Err() == nil {
			o.conn.cfg.Log.Warn("cannot read the topic yet, trying on", "topic", o.group.Topic, "err", err)
		}
		if !pause(ctx, wait.duration()) {
			return nil, ctx.Err()
		}
		if o.closed.Err() != nil {
			return nil, broker.ErrClosed
		}
	}
	return o.consumer.Receive(ctx)
}

// make sees to it that the group has a place in the topic.
func (o *origin) make(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	return admin{o.conn}.ensureGroup(ctx, o.group)
}

// Ping implements source.Source.
func (o *origin) Ping(ctx context.Context) error { return o.conn.Ping(ctx) }

// Lag implements source.Source.
func (o *origin) Lag(ctx context.Context) (broker.Lag, error) {
	return admin{o.conn}.Lag(ctx, o.group.Topic, o.group.Name)
}

// Traits implements source.Source.
func (o *origin) Traits() source.Traits {
	return source.Traits{System: "kafka", Queue: o.group.Topic, Group: o.group.Name, Keeps: true, Shared: true, Headers: true}
}

// closeTimeout bounds what is still said when a source closes.
const closeTimeout = 5 * time.Second

// Close implements source.Source.
func (o *origin) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	return o.conn.Close(ctx)
}
