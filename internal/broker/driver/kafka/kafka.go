package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// Config of a connection. Its URL is
// kafka://[user:password@]host[:port][,host…][?param=value…]; with kafka+tls://
// the connection must be encrypted. Parameters: sasl (plain, which is the
// default with a user, scram-sha-256, scram-sha-512), ca, cert, key (files),
// prefix (of topics and groups, default driftmesh), partitions (of topics we
// make, default 12), replicas (of topics we make, default 1), publish-timeout
// (default 10s), session-timeout (after which a silent worker is dead, default
// 10s; brokers want at least 6s), max-message-bytes (of topics we make, default
// 10 MiB), compression (none, which is the default, gzip, snappy, lz4, zstd).
type Config = connect.Config

// conn is an open broker.
type conn struct {
	cfg     Config
	target  target
	tls     *tls.Config
	sasl    sasl.Mechanism
	pub     *pool // for publishing and administration
	sub     *pool // for consuming
	link    *link
	gates   sync.Map        // topic → *gate
	told    sync.Map        // topic → int64, its limit as EnsureTopic was told
	life    context.Context //nolint:containedctx // until Close
	end     context.CancelFunc
	cleaner sync.WaitGroup
	topics  topics
	ages    ages
	groups  sync.Map // Kafka group → broker.GroupSpec, of those made here

	children connect.Children
}

var _ broker.Broker = (*conn)(nil)

// Open connects. While the brokers are away it succeeds and keeps trying; it
// returns ErrDenied when they refuse us.
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
	c := &conn{cfg: cfg, target: t}
	if c.tls, err = t.tls(cfg.TLS); err != nil {
		return nil, err
	}
	if c.sasl, err = t.sasl(); err != nil {
		return nil, err
	}
	if c.link, err = dial(ctx, c); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(t.brokers, ","), err)
	}
	c.pub, c.sub = c.newPool(), c.newPool()
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.cleaner.Go(c.clean)
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
	if cfg.Forget {
		k.gate.forget.Store(true)
	}
	return k, c.children.Add(k)
}

// Admin implements broker.Broker.
func (c *conn) Admin() broker.Admin { return admin{c} }

// Capabilities implements broker.Broker.
func (c *conn) Capabilities() broker.Capabilities {
	return broker.Capabilities{
		System: "kafka", Ordered: true, Replay: true, DelayedRetry: true, CountsAttempts: true,
		MaxMessageBytes: max(c.topics.limit(c.target.maxMessage)-frame-broker.ParkRoom, 0),
		Durability: fmt.Sprintf("acked = in the memory of every in-sync replica, at least %d of %d in topics made here; "+
			"each writes it to disk when its system does", minInSync(c.target.replicas), c.target.replicas),
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
	c.end()
	c.cleaner.Wait()
	c.link.close()
	c.pub.close()
	c.sub.close()
	return err
}

// pool is a set of connections to all brokers that shares what it knows about
// the cluster.
type pool struct {
	*kafkago.Client
	transport *kafkago.Transport

	mu    sync.Mutex
	fresh time.Time // when it last forgot what it knew
}

const (
	dialTimeout    = 3 * time.Second
	requestTimeout = 5 * time.Second
	metadataTTL    = 10 * time.Second
	idleTimeout    = 30 * time.Second
	refreshEvery   = 200 * time.Millisecond
)

func (c *conn) newPool() *pool {
	t := &kafkago.Transport{
		Dial: open, DialTimeout: dialTimeout, IdleTimeout: idleTimeout, MetadataTTL: metadataTTL,
		ClientID: c.cfg.Name, TLS: c.tls, SASL: c.sasl,
	}
	return &pool{
		Client: &kafkago.Client{
			Addr: kafkago.TCP(c.target.brokers...), Transport: &coordinated{Transport: t}, Timeout: requestTimeout,
		},
		transport: t,
	}
}

// refresh forgets what the pool knew about the cluster, which it would believe
// for up to metadataTTL; requests under way go on.
func (p *pool) refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.fresh) < refreshEvery {
		return
	}
	p.fresh = time.Now()
	p.transport.CloseIdleConnections()
}

func (p *pool) close() { p.transport.CloseIdleConnections() }
