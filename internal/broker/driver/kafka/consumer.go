package kafka

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
)

// consumer is one worker of a group. While it is a member of the Kafka group
// and has partitions, it has a session; see there.
type consumer struct {
	conn    *conn
	cfg     broker.ConsumerConfig
	gid     string // the Kafka group
	gate    *gate
	slots   chan struct{}
	wake    chan struct{}   // capacity 1: Receive may find something new
	closed  context.Context //nolint:containedctx // done when Close was called
	close   context.CancelFunc
	once    sync.Once
	seed    maphash.Seed
	leaving sync.WaitGroup // members that go

	receiving sync.Mutex // held by Receive, which takes mu under it

	mu      sync.Mutex // guards what follows, and all sessions, partitions and leases
	active  bool       // a Receive is running
	rested  time.Time  // when the last one began or ended
	member  *member    // nil when we are not in the group
	session *session   // nil when no partitions are ours
	draft   []item     // the batch in the making
	drafted int        // its bytes
	since   time.Time  // when its first message was there
}

// item is a message on its way into a batch.
type item struct {
	part *partition
	msg  *frontier.Message // nil on its first delivery
	rec  record
	key  uint64 // hash of the key, 0 without one
}

// stale is when what was fetched is fetched again: retention may have
// overtaken it.
const stale = time.Second

func newConsumer(c *conn, cfg broker.ConsumerConfig) *consumer {
	k := &consumer{
		conn: c, cfg: cfg, gid: c.target.group(cfg.Topic, cfg.Group), gate: c.gate(cfg.Topic),
		slots: make(chan struct{}, cfg.MaxInFlight), wake: make(chan struct{}, 1),
		seed: maphash.MakeSeed(),
	}
	k.closed, k.close = context.WithCancel(context.Background())
	return k
}

// Receive implements broker.Consumer.
func (k *consumer) Receive(ctx context.Context) (*broker.Batch, error) {
	k.receiving.Lock()
	defer k.receiving.Unlock()
	k.setActive(true)
	defer k.setActive(false)
	for {
		select {
		case k.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-k.closed.Done():
			return nil, broker.ErrClosed
		}
		b, err := k.next(ctx)
		if b != nil || err != nil {
			return b, err
		}
	}
}

func (k *consumer) setActive(active bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.active = active
	if active && time.Since(k.rested) > stale && k.session != nil {
		k.session.reset()
	}
	k.rested = time.Now()
}

// next returns a batch, or nothing when it was lost before it was complete. It
// has a slot, and passes it to the batch or frees it.
func (k *consumer) next(ctx context.Context) (*broker.Batch, error) {
	if err := k.collect(ctx); err != nil {
		<-k.slots
		return nil, err
	}
	b, le, claim := k.deliver()
	if b == nil || !claim {
		return b, nil
	}
	if err := le.session.committed(ctx); err != nil {
		le.undo()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, nil
	}
	return b, nil
}

// collect fills the draft. On an error it stays for the next call.
func (k *consumer) collect(ctx context.Context) error {
	var linger *time.Timer
	var over <-chan time.Time
	for {
		switch {
		case k.closed.Err() != nil:
			return broker.ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		}
		full, some, since := k.fill()
		switch {
		case full:
			return nil
		case !some:
			over = nil // also when a draft was lost
		case over == nil:
			linger = time.NewTimer(time.Until(since.Add(k.cfg.Linger)))
			defer linger.Stop()
			over = linger.C
		}
		select {
		case <-k.wake:
		case <-over:
			return nil
		case <-ctx.Done():
		case <-k.closed.Done():
		}
	}
}

// fill adds what is there to the draft.
func (k *consumer) fill() (full, some bool, since time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.session
	if s == nil {
		k.join()
		return false, false, time.Time{}
	}
	had := len(k.draft)
	for i := range s.parts {
		if full = s.parts[(s.turn+i)%len(s.parts)].fill(k); full {
			break
		}
	}
	if had == 0 {
		k.since = time.Now()
	}
	return full, len(k.draft) > 0, k.since
}

// room reports whether a message of a size fits into the draft.
func (k *consumer) room(size int) bool {
	switch n := len(k.draft); {
	case n == 0:
		return true
	case n >= k.cfg.MaxMessages:
		return false
	}
	return k.drafted+size <= k.cfg.MaxBytes
}

// deliver turns the draft into a batch; claim says that it must be on record
// before the worker sees it. Without a draft it frees the slot and returns
// nothing.
func (k *consumer) deliver() (b *broker.Batch, le *lease, claim bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.session
	if s == nil || len(k.draft) == 0 {
		<-k.slots
		return nil, nil, false
	}
	le = newLease(k, s, len(k.draft))
	ds := make([]broker.Delivery, len(k.draft))
	fresh := make([]frontier.Message, len(k.draft))
	for i := range k.draft {
		it := &k.draft[i]
		m := it.msg
		if m == nil {
			m = &fresh[i]
			*m = frontier.Message{Offset: it.rec.offset, Key: it.key}
			it.part.books.Deliver(m)
		} else {
			it.part.books.Redeliver(m)
			s.more() // the next lot is due when this one is delivered
		}
		claim = claim || m.Attempt > 1 || m.Offset < it.part.suspect
		le.msgs[i] = leased{it.part, m}
		d := &ds[i]
		decode(&it.rec, &d.Message)
		d.Topic, d.Attempt = k.cfg.Topic, m.Attempt
		d.Lane = it.part.name
		d.Position = it.part.position(m.Offset)
	}
	s.turn++
	k.draft, k.drafted = nil, 0
	for _, pt := range s.parts {
		pt.passed(k)
	}
	s.touch()
	return broker.NewBatch(le.ctx, ds, le.wait, le), le, claim
}

// hash identifies a key; 0 is no key.
func (k *consumer) hash(key []byte) uint64 {
	if key == nil {
		return 0
	}
	return maphash.Bytes(k.seed, key) | 1
}

// signal lets Receive look again.
func (k *consumer) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// closeGrace is how long leaving a group may take.
const closeGrace = 4 * time.Second

// Close implements broker.Consumer.
func (k *consumer) Close(ctx context.Context) error {
	var err error
	k.once.Do(func() {
		k.close()
		k.mu.Lock()
		k.leave()
		k.mu.Unlock()
		gone := make(chan struct{})
		go func() {
			k.leaving.Wait()
			close(gone)
		}()
		t := time.NewTimer(closeGrace)
		defer t.Stop()
		select {
		case <-gone:
		case <-t.C:
			k.conn.cfg.Log.Warn("leaving the group takes long; it goes on", "topic", k.cfg.Topic, "group", k.cfg.Group)
		case <-ctx.Done():
			err = fmt.Errorf("close consumer: %w", ctx.Err())
		}
		k.conn.children.Remove(k)
	})
	return err
}
