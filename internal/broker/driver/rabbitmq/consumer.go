package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// consumer is one worker of a group. The broker pushes deliveries into its
// buffer, as many as the prefetch allows; Receive cuts batches from that.
type consumer struct {
	conn    *conn
	link    *link
	cfg     broker.ConsumerConfig
	slots   chan struct{}
	closed  context.Context //nolint:containedctx // done when Close was called
	close   context.CancelFunc
	start   sync.Once
	done    chan struct{} // closed when run has ended, or never began
	arrived chan struct{} // capacity 1: the buffer has changed

	receiving sync.Mutex // held by Receive

	mu       sync.Mutex
	session  *session // nil while there is none
	buffer   []item   // received and not returned, all of the session
	wanted   bool     // Receive waits
	idle     bool     // the session is suspended
	leases   map[*lease]struct{}
	inFlight int // deliveries of leases, unsettled
	held     int // deliveries that wait for their retry
	lease    time.Duration

	size sizes // used by run only
}

// item is one delivery in the buffer.
type item struct {
	broker.Delivery
	tag uint64
	at  time.Time
}

func newConsumer(c *conn, l *link, cfg broker.ConsumerConfig) *consumer {
	k := &consumer{
		conn: c, link: l, cfg: cfg, slots: make(chan struct{}, cfg.MaxInFlight),
		done: make(chan struct{}), arrived: make(chan struct{}, 1), leases: map[*lease]struct{}{},
		size: newSizes(cfg),
	}
	k.closed, k.close = context.WithCancel(context.Background())
	return k
}

// Receive implements broker.Consumer. The first call joins the group: until
// then the worker takes nothing from others.
func (k *consumer) Receive(ctx context.Context) (*broker.Batch, error) {
	k.receiving.Lock()
	defer k.receiving.Unlock()
	k.start.Do(func() { go k.run() }) //nolint:contextcheck // it runs until Close
	select {
	case k.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.closed.Done():
		return nil, broker.ErrClosed
	}
	k.want(true)
	defer k.want(false)
	b, err := k.fill(ctx)
	if err != nil {
		<-k.slots
	}
	return b, err
}

// fill waits until a batch is full or its linger is over.
func (k *consumer) fill(ctx context.Context) (*broker.Batch, error) {
	linger := time.NewTimer(0)
	defer linger.Stop()
	for {
		b, wait := k.cut()
		if b != nil {
			return b, nil
		}
		linger.Stop()
		if wait > 0 {
			linger.Reset(wait)
		}
		select {
		case <-k.arrived:
		case <-linger.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-k.closed.Done():
			return nil, broker.ErrClosed
		}
	}
}

// cut takes a batch from the buffer when it is full or has waited enough, or
// else says how long to wait; 0 is until something arrives.
func (k *consumer) cut() (*broker.Batch, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.buffer) == 0 || k.closed.Err() != nil {
		return nil, 0
	}
	n, bytes := 0, 0
	for n < len(k.buffer) && n < k.cfg.MaxMessages {
		if bytes += k.buffer[n].Size(); n > 0 && bytes > k.cfg.MaxBytes {
			break
		}
		n++
	}
	full := n == k.cfg.MaxMessages || n < len(k.buffer) || bytes >= k.cfg.MaxBytes
	if wait := k.cfg.Linger - time.Since(k.buffer[0].at); wait > 0 && !full {
		return nil, wait
	}
	items := k.buffer[:n]
	b := k.lend(items)
	clear(items)
	k.buffer = k.buffer[n:]
	if len(k.buffer) == 0 {
		k.buffer = nil
	}
	return b, 0
}

// push appends a delivery of a session that is not over.
func (k *consumer) push(s *session, it item) {
	k.mu.Lock()
	refused := k.idle && k.session == s
	if k.session == s && !refused {
		k.buffer = append(k.buffer, it)
	}
	k.mu.Unlock()
	if refused {
		go s.refuse(it.tag) // the caller may hold write
		return
	}
	select {
	case k.arrived <- struct{}{}:
	default:
	}
}

// clear suspends a session, unless its worker waits for messages, and takes its
// buffer.
func (k *consumer) clear(s *session) (tags []uint64, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.session != s || k.wanted {
		return nil, false
	}
	tags = make([]uint64, len(k.buffer))
	for i := range k.buffer {
		tags[i] = k.buffer[i].tag
	}
	k.buffer, k.idle = nil, true
	return tags, true
}

// want notes whether Receive waits, which ends a suspension of the session.
func (k *consumer) want(now bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = now
	if !now || !k.idle {
		return
	}
	k.idle = false
	select {
	case k.session.resume <- struct{}{}:
	default:
	}
}

// hungry reports whether a session has nothing and could take something.
func (k *consumer) hungry(s *session) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.session == s && k.wanted && !k.idle && len(k.buffer) == 0 && k.inFlight == 0 && k.held == 0
}

// forget ends a session and returns the leases that are lost with it.
func (k *consumer) forget(s *session) (lost []*lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.session != s {
		return nil
	}
	k.session, k.buffer, k.inFlight, k.held, k.idle = nil, nil, 0, 0, false
	for l := range k.leases {
		lost = append(lost, l)
	}
	return lost
}

// hold counts deliveries that wait for their retry.
func (k *consumer) hold(s *session, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.session == s {
		k.held += n
	}
}

// run keeps a session going until the consumer is closed.
func (k *consumer) run() {
	defer close(k.done)
	for n := 0; k.closed.Err() == nil; n++ {
		p, err := k.link.await(k.closed)
		if err != nil {
			return
		}
		s, err := k.attach(p)
		if err == nil {
			n = 0
			var listening sync.WaitGroup
			listening.Go(s.listen)
			s.pump()
			s.end()
			listening.Wait()
			continue
		}
		if n == 0 && k.closed.Err() == nil {
			k.conn.cfg.Log.Warn("cannot join the group yet, trying on", "topic", k.cfg.Topic, "group", k.cfg.Group, "err", err)
		}
		wait := pause(n)
		if errors.Is(err, broker.ErrDenied) {
			wait = max(wait, deniedWait)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-k.closed.Done():
		}
		t.Stop()
	}
}

// pause is the back-off before try n: up to about two seconds.
func pause(n int) time.Duration { return 62500 * time.Microsecond << min(n, 5) }

// attach joins the group.
func (k *consumer) attach(p *peer) (*session, error) {
	queue, prefetch := k.conn.queue(k.cfg.Topic, k.cfg.Group), k.size.fit(0)
	s, err := call(k.closed, p, func() (*session, error) { return k.open(p, queue, prefetch) })
	if err != nil {
		return nil, err
	}
	lease := cmp.Or(k.cfg.AckWait, k.conn.ackWait(k.cfg.Topic, k.cfg.Group))
	if !k.begin(s, lease) {
		s.abandon()
		return nil, broker.ErrClosed
	}
	return s, nil
}

// begin makes a session the current one, unless the consumer is closed.
func (k *consumer) begin(s *session, lease time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed.Err() != nil {
		return false
	}
	k.session, k.lease = s, lease
	return true
}

// Close implements broker.Consumer.
func (k *consumer) Close(ctx context.Context) error {
	k.close()
	k.start.Do(func() { close(k.done) })
	defer k.conn.children.Remove(k)
	k.mu.Lock()
	s := k.session
	k.mu.Unlock()
	var err error
	if s != nil {
		err = s.leave(ctx)
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("close consumer: %w", err)
	}
	return nil
}
