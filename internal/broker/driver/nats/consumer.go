package nats

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
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
	in      chan *nats.Msg // what finds no room is dropped by nats.go, and comes again when its lease runs out
	slots   chan struct{}
	closed  context.Context //nolint:containedctx // done when Close was called
	close   context.CancelFunc
	closing <-chan struct{} // closed.Done()
	once    sync.Once
	watch   *watcher
	mayLose atomic.Bool // the group, by its own word

	receiving sync.Mutex // held by Receive, guards what follows
	pulls     uint64
	carry     []*nats.Msg // received and not yet returned
	since     time.Time   // when the first of carry came
	attached  bool
	joined    int // the life of the group that it is attached to
	gap       gap

	mu      sync.Mutex // taken under receiving; leases are ended outside of it, as their end takes it
	ackWait time.Duration
	leases  map[*lease]struct{}
	life    int           // how often the group was deleted
	deleted chan struct{} // it was, and Receive has not heard of it; capacity 1
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
		in:     make(chan *nats.Msg, 2*cfg.MaxMessages+spare),
		slots:  make(chan struct{}, cfg.MaxInFlight),
		leases: map[*lease]struct{}{}, ackWait: cfg.AckWait, deleted: make(chan struct{}, 1),
	}
	k.closed, k.close = context.WithCancel(context.Background())
	k.closing = k.closed.Done()
	if k.sub, err = l.nc.ChanSubscribe(k.inbox+"*", k.in); err != nil {
		return nil, fmt.Errorf("subscribe to deliveries: %w", err)
	}
	if k.watch, err = watch(k); err != nil {
		k.close()
		_ = k.sub.Unsubscribe() // the connection is closed
		return nil, err
	}
	return k, nil
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
	select {
	case <-k.deleted:
		k.forget()
	default:
	}
	for {
		msgs, err := k.collect(ctx)
		if err != nil {
			<-k.slots
			return nil, err
		}
		if b := k.lease(msgs); len(b.Deliveries) > 0 {
			return b, nil
		}
	}
}

// collect fills one batch; k.since is when its first message came. On an error
// what was received stays in carry for the next call.
func (k *consumer) collect(ctx context.Context) ([]*nats.Msg, error) {
	if k.closed.Err() != nil {
		return nil, broker.ErrClosed
	}
	for len(k.carry) == 0 {
		if err := k.attach(ctx); err != nil {
			return nil, err
		}
		if err := k.first(ctx); err != nil {
			return nil, err
		}
	}
	if err := k.rest(ctx); err != nil {
		return nil, err
	}
	msgs := k.carry
	k.carry = nil
	return msgs, nil
}

// forsake is called when the group was deleted. Made anew it counts from one
// again, and takes words about old messages for words about new ones: nothing
// must be said any more about what came until now.
func (k *consumer) forsake() {
	k.mu.Lock()
	k.life++
	leases := slices.Collect(maps.Keys(k.leases))
	k.mu.Unlock()
	for _, l := range leases {
		l.lose()
	}
	select {
	case k.deleted <- struct{}{}:
	default:
	}
}

// forget throws away what came from a group that is no more, for Receive to
// join the one that is made anew.
func (k *consumer) forget() {
	k.attached, k.carry = false, nil
	for {
		select {
		case <-k.in:
		case <-k.deleted:
		default:
			return
		}
	}
}

// attach waits until the group exists, and learns its lease and position.
func (k *consumer) attach(ctx context.Context) error {
	for wait := backoff(0); !k.attached; wait = wait.next() {
		k.mu.Lock()
		k.joined = k.life
		k.mu.Unlock()
		info, err := k.info(ctx)
		if err == nil {
			k.mu.Lock()
			k.ackWait = info.Config.AckWait
			k.mu.Unlock()
			k.mayLose.Store(info.Config.Metadata[metaMayLose] == "true")
			k.gap.start(info.Created, info.Delivered.Stream, info.Delivered.Consumer)
			k.attached = true
			topic := k.conn.janitor.topic(k.cfg.Topic)
			topic.use()
			if k.cfg.Forget {
				topic.forget.Store(true)
			}
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
	defer context.AfterFunc(k.closed, cancel)() //nolint:contextcheck // Close ends it too
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
		k.close()
		k.watch.close()
		k.mu.Lock()
		leases := slices.Collect(maps.Keys(k.leases))
		k.mu.Unlock()
		// First the leases end and the subscription, then everything is given back: a
		// pull of ours that still stands would be given it, and nobody would read it.
		for _, l := range leases {
			l.cancel(broker.ErrLeaseLost)
		}
		k.release(ctx)
		for _, l := range leases {
			l.abandon()
		}
		if k.link.nc.IsConnected() {
			ctx, cancel := context.WithTimeout(ctx, settleTimeout)
			defer cancel()
			if e := k.link.nc.FlushWithContext(ctx); e != nil {
				err = fmt.Errorf("close consumer: %w", e)
			}
		}
		k.conn.children.Remove(k)
	})
	return err
}

// release gives back what was received and never returned, once Receive has
// ended.
func (k *consumer) release(ctx context.Context) {
	k.receiving.Lock()
	defer k.receiving.Unlock()
	for _, m := range k.carry {
		k.nak(m)
	}
	k.carry = nil
	if !k.leave(ctx) {
		return // the connection is gone, and the server will notice
	}
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

// leave ends the subscription and waits until whatever the server had sent by
// then is here.
func (k *consumer) leave(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if k.link.nc.IsConnected() && k.sub.Drain() == nil && k.link.nc.FlushWithContext(ctx) == nil {
		return true
	}
	_ = k.sub.Unsubscribe() // fails when the connection is closed, and the subscription with it
	return false
}

func (k *consumer) nak(m *nats.Msg) {
	// Best effort: what is not given back returns when its lease has run out.
	_ = k.link.nc.Publish(m.Reply, ackNak)
}
