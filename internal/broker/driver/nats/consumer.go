package nats

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// consumer is one worker of a group. A batch is pulled in two requests: one
// message, however long that takes, then as many as fit within the linger.
// Between batches nothing is requested, so nothing waits in our memory while
// its lease runs out.
type consumer struct {
	conn    *conn
	link    *link
	js      jetstream.JetStream
	cfg     broker.ConsumerConfig
	stream  string
	inbox   string // prefix of the reply subjects of pulls
	sub     *nats.Subscription
	in      chan *nats.Msg
	slots   chan struct{}
	closing chan struct{}
	once    sync.Once
	watch   *watcher

	receiving sync.Mutex // held by Receive, guards what follows
	pulls     uint64
	carry     []*nats.Msg // received and not yet returned
	attached  bool
	gap       gap

	mu      sync.Mutex
	ackWait time.Duration
	leases  map[*lease]struct{}
}

// spare is room in the channel beside one batch: statuses, and what a pull
// delivers late.
const spare = 1024

func newConsumer(c *conn, l *link, cfg broker.ConsumerConfig) (*consumer, error) {
	js, err := jetstream.New(l.nc)
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	k := &consumer{
		conn: c, link: l, js: js, cfg: cfg, stream: c.stream(cfg.Topic), inbox: l.nc.NewInbox() + ".",
		in:      make(chan *nats.Msg, 2*cfg.MaxMessages+spare),
		slots:   make(chan struct{}, cfg.MaxInFlight),
		closing: make(chan struct{}), leases: map[*lease]struct{}{}, ackWait: cfg.AckWait,
	}
	if k.sub, err = l.nc.ChanSubscribe(k.inbox+"*", k.in); err != nil {
		return nil, fmt.Errorf("subscribe to deliveries: %w", err)
	}
	if err := k.sub.SetPendingLimits(-1, -1); err != nil && k.sub.Type() != nats.ChanSubscription {
		return nil, fmt.Errorf("subscribe to deliveries: %w", err)
	}
	k.watch, err = watch(k)
	return k, err
}

// Receive implements broker.Consumer.
func (k *consumer) Receive(ctx context.Context) (*broker.Batch, error) {
	k.receiving.Lock()
	defer k.receiving.Unlock()
	select {
	case k.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.closing:
		return nil, broker.ErrClosed
	}
	msgs, since, err := k.collect(ctx)
	if err != nil {
		<-k.slots
		return nil, err
	}
	return k.lease(msgs, since)
}

// collect fills one batch; since is when its first message came. On an error
// what was received stays in carry for the next call.
func (k *consumer) collect(ctx context.Context) (msgs []*nats.Msg, since time.Time, err error) {
	for len(k.carry) == 0 {
		if err := k.attach(ctx); err != nil {
			return nil, since, err
		}
		if err := k.first(ctx); err != nil {
			return nil, since, err
		}
	}
	since = time.Now()
	if err := k.rest(ctx); err != nil {
		return nil, since, err
	}
	msgs, k.carry = k.carry, nil
	return msgs, since, nil
}

// attach waits until the group exists, and learns its lease and position.
func (k *consumer) attach(ctx context.Context) error {
	for wait := backoff(0); !k.attached; wait = wait.next() {
		info, err := k.info(ctx)
		if err == nil {
			k.mu.Lock()
			k.ackWait = info.Config.AckWait
			k.mu.Unlock()
			k.gap.start(info.Delivered.Stream, info.Delivered.Consumer)
			k.attached = true
			return nil
		}
		if wait == 0 {
			k.conn.cfg.Log.Warn("cannot join the group yet, trying on", "topic", k.cfg.Topic, "group", k.cfg.Group, "err", err)
		}
		if err := k.pause(ctx, wait.duration()); err != nil {
			return err
		}
	}
	return nil
}

func (k *consumer) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	if !k.link.nc.IsConnected() {
		return nil, k.link.err()
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	c, err := k.js.Consumer(ctx, k.stream, k.cfg.Group)
	if err != nil {
		return nil, k.conn.classify(err)
	}
	return c.CachedInfo(), nil
}

// pause waits for d, or until the connection changes.
func (k *consumer) pause(ctx context.Context, d time.Duration) error {
	connected, changed := k.link.state()
	t := time.NewTimer(d)
	defer t.Stop()
	if connected {
		changed = nil
	}
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
		return ctx.Err()
	case <-k.closing:
		return broker.ErrClosed
	}
	return nil
}

// backoff counts up to about two seconds.
type backoff int

func (b backoff) next() backoff           { return min(b+1, 5) }
func (b backoff) duration() time.Duration { return 62500 * time.Microsecond << b }

// Close implements broker.Consumer.
func (k *consumer) Close(ctx context.Context) error {
	var err error
	k.once.Do(func() {
		close(k.closing)
		k.watch.close()
		k.mu.Lock()
		leases := make([]*lease, 0, len(k.leases))
		for l := range k.leases {
			leases = append(leases, l)
		}
		k.mu.Unlock()
		for _, l := range leases {
			l.abandon()
		}
		k.release()
		if k.link.nc.IsConnected() {
			ctx, cancel := context.WithTimeout(ctx, settleTimeout)
			defer cancel()
			if e := k.link.nc.FlushWithContext(ctx); e != nil {
				err = fmt.Errorf("close consumer: %w", e)
			}
		}
		k.conn.remove(k)
	})
	return err
}

// release gives back what was received and never returned, once Receive has
// ended.
func (k *consumer) release() {
	k.receiving.Lock()
	defer k.receiving.Unlock()
	if err := k.sub.Unsubscribe(); err != nil {
		return // the connection is gone, and the server will notice
	}
	for _, m := range k.carry {
		k.nak(m)
	}
	k.carry = nil
	for {
		select {
		case m := <-k.in:
			if m != nil && m.Reply != "" {
				k.nak(m)
			}
		default:
			return
		}
	}
}

func (k *consumer) nak(m *nats.Msg) {
	// Best effort: what is not given back returns when its lease has run out.
	_ = k.link.nc.Publish(m.Reply, ackNak)
}
