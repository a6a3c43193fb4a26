package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Config of a connection. URL is required.
type Config struct {
	// URL is redis://[[user]:password@]host[:port][,host…][/db][?param=value…];
	// with rediss:// the connection is encrypted. Several hosts are addresses of
	// one primary, tried in turn. Parameters: password-file, ca, cert, key
	// (files), prefix, publish-timeout.
	URL string
	// TLS is used for the connection when given; files in the URL are added.
	TLS *tls.Config
	// Name is shown by the server; default "driftmesh".
	Name string
	// Log hears about connections and losses; default: nobody.
	Log *slog.Logger
	// Lost is told how many messages retention removed before a group read
	// them; may be nil.
	Lost func(topic, group string, n int64)
}

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
	pub    *goredis.Client
	sub    *goredis.Client
	guard  *guard

	mu         sync.Mutex
	closed     bool
	open       map[closer]struct{}
	durability string
}

type closer interface{ Close(context.Context) error }

var _ broker.Broker = (*conn)(nil)

// Open connects. While the server is away it succeeds and keeps trying; it
// returns ErrDenied when the server refuses us.
func Open(ctx context.Context, cfg Config) (broker.Broker, error) {
	t, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Name == "" {
		cfg.Name = "driftmesh"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &conn{cfg: cfg, target: t, open: map[closer]struct{}{}, durability: "unknown until the server is reached"}
	config, err := t.tls(cfg.TLS)
	if err != nil {
		return nil, err
	}
	c.link = newLink(t, config, cfg.Log, c.inspect)
	c.pub = goredis.NewClient(c.link.options(cfg.Name, t.timeout))
	c.sub = goredis.NewClient(c.link.options(cfg.Name+"-reader", readTimeout))
	c.link.client = c.pub
	if err := c.link.start(ctx); err != nil {
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
	return p, c.add(p)
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
	c.guard.watch(cfg.Topic)
	return k, c.add(k)
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
	c.mu.Lock()
	open := make([]closer, 0, len(c.open))
	for o := range c.open {
		open = append(open, o)
	}
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if !first {
		return nil
	}
	var err error
	for _, o := range slices.Backward(open) {
		if e := o.Close(ctx); e != nil && err == nil {
			err = e
		}
	}
	c.guard.close()
	c.link.close()
	_ = c.sub.Close() // an error says no more than that a connection was broken
	_ = c.pub.Close()
	return err
}

// add registers something to be closed with the connection.
func (c *conn) add(o closer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return broker.ErrClosed
	}
	c.open[o] = struct{}{}
	return nil
}

func (c *conn) remove(o closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, o)
}

// lost reports lost messages.
func (c *conn) lost(topic, group string, n int64) {
	if n <= 0 {
		return
	}
	c.cfg.Log.Error("messages lost by retention", "topic", topic, "group", group, "messages", n)
	if c.cfg.Lost != nil {
		c.cfg.Lost(topic, group, n)
	}
}
