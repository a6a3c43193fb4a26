package redis

import (
	"context"
	"fmt"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// Config of a connection. Its URL is one of
//
//	redis://[[user]:password@]host[:port][,host…][/db][?param=value…]
//	redis+sentinel://[[user]:password@]sentinel[:port][,sentinel…]/name[?param=value…]
//	redis+cluster://[[user]:password@]node[:port][,node…][?param=value…]
//
// and with rediss the connections are encrypted. Several hosts of the first are a
// primary and its replicas. Parameters: password-file, ca, cert, key (files),
// prefix, publish-timeout, db, wait (how many replicas must have a message before
// it is acknowledged; not on a cluster), sentinel-user, sentinel-password-file.
type Config = connect.Config

// MaxMessageBytes is the largest Message.Size: a request of 8 MiB and its
// headers. Redis itself would take 512 MiB, but everything it holds is in
// memory, a few times over while it travels.
const MaxMessageBytes = 9 << 20

// conn is an open broker: one client for publishing, administration and
// settling, one for reads that block.
type conn struct {
	cfg    Config
	target target
	link   *link
	pub    goredis.UniversalClient
	sub    goredis.UniversalClient
	guard  *guard

	mu         sync.Mutex
	children   connect.Children
	durability string
}

var _ broker.Broker = (*conn)(nil)

// Open connects. While the server is away it succeeds and keeps trying; it
// returns ErrDenied when the server refuses us.
func Open(ctx context.Context, cfg Config) (broker.Broker, error) {
	t, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	c, err := connectTo(ctx, cfg, t)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// connectTo connects to a target.
func connectTo(ctx context.Context, cfg Config, t target) (*conn, error) {
	cfg = cfg.WithDefaults()
	c := &conn{cfg: cfg, target: t, durability: "unknown until the server is reached"}
	config, err := t.tls(cfg.TLS)
	if err != nil {
		return nil, err
	}
	c.link = newLink(t, config, cfg.Log, c.inspect)
	c.pub = c.link.connect(cfg.Name, t.timeout)
	c.sub = c.link.connect(cfg.Name+"-reader", readTimeout)
	c.link.client = c.pub
	if err := c.link.start(ctx); err != nil {
		c.link.close()
		_ = c.pub.Close() // nothing was written
		_ = c.sub.Close()
		return nil, fmt.Errorf("connect to %s: %w", t.hosts(), err)
	}
	c.guard = newGuard(c) //nolint:contextcheck // it lives until Close
	return c, nil
}

// Publisher implements broker.Broker.
func (c *conn) Publisher() (broker.Publisher, error) {
	p := newPublisher(c)
	return p, c.children.Add(p)
}

// Consumer implements broker.Broker.
func (c *conn) Consumer(cfg broker.ConsumerConfig) (broker.Consumer, error) {
	if err := broker.ValidName(cfg.Topic); err != nil {
		return nil, err
	}
	if err := broker.ValidGroup(cfg.Group); err != nil {
		return nil, err
	}
	k := newConsumer(c, cfg.WithDefaults())
	if topic := c.guard.watch(cfg.Topic); cfg.Forget {
		topic.forget.Store(true)
	}
	return k, c.children.Add(k)
}

// Admin implements broker.Broker.
func (c *conn) Admin() broker.Admin { return admin{c} }

// Capabilities implements broker.Broker.
func (c *conn) Capabilities() broker.Capabilities {
	c.mu.Lock()
	defer c.mu.Unlock()
	return broker.Capabilities{
		System: "redis", Replay: true, DelayedRetry: true, CountsAttempts: true,
		MaxMessageBytes: MaxMessageBytes, Durability: c.durability,
	}
}

// Ping implements broker.Broker.
func (c *conn) Ping(ctx context.Context) error { return c.link.ping(ctx) }

// Close implements broker.Broker.
func (c *conn) Close(ctx context.Context) error {
	first, err := c.children.Close(ctx)
	if !first {
		return nil
	}
	c.guard.close()
	c.link.close()
	_ = c.sub.Close() // an error says no more than that a connection was broken
	_ = c.pub.Close()
	return err
}
