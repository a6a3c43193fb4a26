package nats

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Config of a connection. URL is required.
type Config struct {
	// URL is nats://[user[:password]@]host[:port][,host…][?param=value…]; with
	// nats+tls:// the connection must be encrypted. Parameters: creds (file), nkey
	// (seed file), token, token-file, ca, cert, key (files), prefix, replicas,
	// publish-timeout.
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

// conn is an open broker: one connection for publishing and administration,
// and, once there is a consumer or a tail, one for consuming, so that a
// delivery of many megabytes does not delay acknowledgements of publishes.
type conn struct {
	cfg    Config
	target target
	tls    *tls.Config
	pub    *link
	js     jetstream.JetStream

	mu     sync.Mutex
	sub    *link
	closed bool
	open   map[closer]struct{}
	known  sync.Map // topics this process has seen to exist
	guard  *guard
}

type closer interface{ Close(context.Context) error }

var _ broker.Broker = (*conn)(nil)

// Open connects. While the server is away it succeeds and keeps trying; it
// returns ErrDenied when the server refuses us.
func Open(_ context.Context, cfg Config) (broker.Broker, error) {
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
	c := &conn{cfg: cfg, target: t, open: map[closer]struct{}{}}
	if c.tls, err = t.tls(cfg.TLS); err != nil {
		return nil, err
	}
	if c.pub, err = dial(cfg.Name, t, c.tls, cfg.Log); err != nil {
		return nil, err
	}
	if c.js, err = jetstream.New(c.pub.nc); err != nil {
		c.pub.nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	c.guard = newGuard(c) //nolint:contextcheck // it lives until Close
	return c, nil
}

// reader is the connection for consuming, opened when first needed.
func (c *conn) reader() (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, broker.ErrClosed
	}
	if c.sub == nil {
		l, err := dial(c.cfg.Name+" consumer", c.target, c.tls, c.cfg.Log)
		if err != nil {
			return nil, err
		}
		c.sub = l
	}
	return c.sub, nil
}

// Publisher implements broker.Broker.
func (c *conn) Publisher() (broker.Publisher, error) {
	p, err := newPublisher(c)
	if err != nil {
		return nil, err
	}
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
	l, err := c.reader()
	if err != nil {
		return nil, err
	}
	k, err := newConsumer(c, l, cfg.WithDefaults())
	if err != nil {
		return nil, err
	}
	return k, c.add(k)
}

// Admin implements broker.Broker.
func (c *conn) Admin() broker.Admin { return admin{c} }

// Capabilities implements broker.Broker.
func (c *conn) Capabilities() broker.Capabilities {
	return broker.Capabilities{
		System: "nats", Replay: true, Dedupe: true, DelayedRetry: true, CountsAttempts: true,
		MaxMessageBytes: c.limit(),
		Durability: fmt.Sprintf("acked = written to the file store of a majority of %d replica(s); on disk at the "+
			"server's next sync (2 minutes, or at once with sync_interval: always)", c.target.replicas),
	}
}

// frame is the room NATS headers of our own take beside Message.Size.
const (
	frame          = 128
	defaultPayload = 1 << 20
)

// limit is the largest Message.Size, by what the server says.
func (c *conn) limit() int {
	n := c.pub.nc.MaxPayload()
	if n <= 0 {
		n = defaultPayload
	}
	return max(int(n)-frame-broker.ParkRoom, 0)
}

// Ping implements broker.Broker.
func (c *conn) Ping(ctx context.Context) error { return c.pub.ping(ctx) }

// Close implements broker.Broker.
func (c *conn) Close(ctx context.Context) error {
	c.mu.Lock()
	open, sub := make([]closer, 0, len(c.open)), c.sub
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
	if sub != nil {
		sub.close()
	}
	c.pub.close()
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
