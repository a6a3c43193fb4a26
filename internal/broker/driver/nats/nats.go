package nats

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// Config of a connection. Its URL is
// nats://[user[:password]@]host[:port][,host…][?param=value…]; with nats+tls://
// the connection must be encrypted. Parameters: creds (file), nkey (seed file),
// token, token-file, ca, cert, key (files), prefix, replicas, publish-timeout.
type Config = connect.Config

// conn is an open broker: one connection for publishing and administration,
// and, once there is a consumer or a tail, one for consuming, so that a
// delivery of many megabytes does not delay acknowledgements of publishes.
type conn struct {
	cfg    Config
	target target
	tls    *tls.Config
	pub    *link
	js     jetstream.JetStream

	mu       sync.Mutex
	sub      *link
	closed   bool
	children connect.Children
	janitor  *janitor
}

var _ broker.Broker = (*conn)(nil)

// Open connects. While the server is away it succeeds and keeps trying; it
// returns ErrDenied when the server refuses us.
func Open(_ context.Context, cfg Config) (broker.Broker, error) {
	t, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	c := &conn{cfg: cfg, target: t}
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
	c.janitor = newJanitor(c) //nolint:contextcheck // it lives until Close
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
	l, err := c.reader()
	if err != nil {
		return nil, err
	}
	k, err := newConsumer(c, l, cfg.WithDefaults())
	if err != nil {
		return nil, err
	}
	return k, c.children.Add(k)
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
	sub := c.sub
	c.closed = true
	c.mu.Unlock()
	first, err := c.children.Close(ctx)
	if !first {
		return nil
	}
	c.janitor.close()
	if sub != nil {
		sub.close()
	}
	c.pub.close()
	return err
}
