package rabbitmq

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// Config of a connection. Its URL is
// amqp://[user[:password]@]host[:port][,host…][/vhost][?param=value…]; with
// amqps:// the connection is encrypted, and TLS is used for that alone. Without
// a path the virtual host is "/". Parameters: ca, cert, key (files), server-name
// (in the broker's certificate), password-file, auth (plain, or external for the
// client certificate), prefix (of exchanges and queues), replicas (of queues),
// max-message-bytes (the broker's max_message_size, default 16 MiB),
// publish-timeout, heartbeat, management (http[s]://[user:password@]host:port of
// the management API, for exact lag; default credentials are the broker's).
// Lost is never called: a queue keeps what its group has not read.
type Config = connect.Config

// conn is an open broker: one connection for publishing and administration,
// and, once there is a consumer or a tail, one for consuming, because the
// broker stops reading from a connection that publishes too much.
type conn struct {
	cfg    Config
	target target
	tls    *tls.Config
	pub    *link
	http   *http.Client // for the management API; nil is none

	known    sync.Map // topics that exist, for publishers
	specs    sync.Map // what EnsureTopic was told, by topic
	ackWaits sync.Map // what EnsureGroup was told, by membership
	made     sync.Map // queues that were here

	dialing sync.Mutex // held while sub is opened

	mu       sync.Mutex
	sub      *link
	closed   bool
	children connect.Children
	empty    map[string]emptiness // by queue
}

var _ broker.Broker = (*conn)(nil)

// Open connects. While the broker is away it succeeds and keeps trying; it
// returns ErrDenied when the broker refuses us.
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
func connectTo(ctx context.Context, cfg Config, t target) (_ *conn, err error) {
	cfg = cfg.WithDefaults()
	c := &conn{cfg: cfg, target: t, empty: map[string]emptiness{}}
	if c.tls, err = t.tls(cfg.TLS); err != nil {
		return nil, err
	}
	if t.manage != nil {
		c.http = manager(c.tls)
	}
	pub, err := dial(ctx, cfg.Name, t, c.tls, cfg.Log, c.reached)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pub = pub
	return c, nil
}

// reached spares the other connection its back-off.
func (c *conn) reached() {
	for _, l := range c.links() {
		if _, err := l.current(); err != nil {
			l.hurry()
		}
	}
}

func (c *conn) links() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	var links []*link
	for _, l := range []*link{c.pub, c.sub} {
		if l != nil {
			links = append(links, l)
		}
	}
	return links
}

// peer is a connection for administration: any that is there and answers.
func (c *conn) peer() (*peer, error) {
	var why error
	for _, l := range c.links() {
		p, err := l.current()
		if err == nil && p.blocked.Load() {
			err = fmt.Errorf("%w: %w", broker.ErrUnavailable, errBlocked)
		}
		if err == nil {
			return p, nil
		}
		if why == nil {
			why = err
		}
	}
	return nil, why
}

// reader is the connection for consuming, opened when first needed.
func (c *conn) reader() (*link, error) {
	c.dialing.Lock()
	defer c.dialing.Unlock()
	c.mu.Lock()
	l, closed := c.sub, c.closed
	c.mu.Unlock()
	if l != nil || closed {
		return l, closedErr(closed)
	}
	l, err := dial(context.Background(), c.cfg.Name+" consumer", c.target, c.tls, c.cfg.Log, c.reached)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if closed = c.closed; !closed {
		c.sub = l
	}
	c.mu.Unlock()
	if closed {
		l.close()
	}
	return l, closedErr(closed)
}

func closedErr(closed bool) error {
	if closed {
		return broker.ErrClosed
	}
	return nil
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
	l, err := c.reader()
	if err != nil {
		return nil, err
	}
	k := newConsumer(c, l, cfg.WithDefaults())
	return k, c.children.Add(k)
}

// Admin implements broker.Broker.
func (c *conn) Admin() broker.Admin { return admin{c} }

// Capabilities implements broker.Broker.
func (c *conn) Capabilities() broker.Capabilities {
	return broker.Capabilities{
		System: "rabbitmq", DelayedRetry: true, CountsAttempts: true, VerifiedUser: true, MaxMessageBytes: c.limit(),
		Durability: fmt.Sprintf("acked = written to disk by a majority of the %d replica(s) of each group's quorum queue", c.target.replicas),
	}
}

// limit is the largest Message.Size; the broker counts the value only.
func (c *conn) limit() int { return c.target.limit - broker.ParkRoom }

// Ping implements broker.Broker.
func (c *conn) Ping(ctx context.Context) error {
	p, err := c.pub.current()
	if err != nil {
		return err
	}
	if p.blocked.Load() {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, errBlocked)
	}
	_, err = with(ctx, p, func(*amqp.Channel) (struct{}, error) { return struct{}{}, nil })
	return err
}

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
	if sub != nil {
		sub.close()
	}
	c.pub.close()
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	return err
}
