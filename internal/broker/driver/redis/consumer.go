package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// consumer is one worker of a group. It asks for entries only within Receive,
// so that nothing waits in our memory while its lease runs.
//
// An entry that the server has handed out to us is in one of three places: in
// carry, read and not yet returned; in a lease, returned and not yet settled; or
// in an answer on its way. Two ways lead there: a read of what is new, and a claim
// of what is due again. A read can not be taken back once it is sent, for the
// server may have handed out what it brings; so the end of a Receive ends the wait
// for it and not the read, and the next Receive finds it in reading. Only when the
// connection breaks is an answer lost: then suspect is set, and until it passes each
// claim first gives back whatever the server has under our name that is in neither
// of the other two places. Nobody else uses our name, so that hits nobody.
//
// Our end of a lease is counted from before the command was sent, and ends a
// little early: whatever the network does, it is over here before the server hands
// the entries to somebody else. Settling looks at whom they are with, so that even a
// clock that stops does no harm.
type consumer struct {
	conn    *conn
	cfg     broker.ConsumerConfig
	name    string // of the consumer in Redis; no other has it
	slots   chan struct{}
	closed  context.Context //nolint:containedctx // done when Close was called
	close   context.CancelFunc
	closing <-chan struct{} // closed.Done()
	once    sync.Once

	receiving sync.Mutex // held by Receive, guards what follows
	carry     []entry    // read and not yet returned
	reading   chan read  // the read that is on its way, or nil
	attached  bool
	group     group
	pending   int64     // of the group, as far as we know
	biggest   int       // about the size of the largest entry of late
	lingering time.Time // when the batch in the making has waited long enough
	suspect   time.Time // until then, we may hold entries that we never heard of
	told      bool      // that the group cannot be joined yet

	mu      sync.Mutex // taken under receiving; leases are ended outside of it, as their end takes it
	leases  map[*lease]struct{}
	due     time.Time // when to claim again
	settled int64     // of pending, acknowledged by us since it was last brought up to date
	epoch   uint64    // grows when the server has said how many are pending; an answer to an older question then counts no more
}

// group are the settings of the group.
type group struct {
	ackWait  time.Duration
	inFlight int64
}

func newConsumer(c *conn, cfg broker.ConsumerConfig) *consumer {
	name := cfg.Member
	if name == "" {
		name = "worker"
	}
	k := &consumer{
		conn: c, cfg: cfg, name: name + ":" + strconv.FormatUint(rand.Uint64(), 36),
		slots:   make(chan struct{}, cfg.MaxInFlight),
		leases:  map[*lease]struct{}{},
		biggest: firstGuess,
	}
	k.closed, k.close = context.WithCancel(context.Background())
	k.closing = k.closed.Done()
	return k
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
	for {
		es, err := k.collect(ctx)
		if err != nil {
			<-k.slots
			return nil, err
		}
		if b := k.lease(es); b != nil {
			return b, nil
		}
	}
}

// collect fills one batch. On an error what was read stays in carry for the
// next call.
func (k *consumer) collect(ctx context.Context) ([]entry, error) {
	k.lingering = time.Time{}
	if len(k.carry) > 0 {
		k.refresh(ctx)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if k.closed.Err() != nil {
			return nil, broker.ErrClosed
		}
		now := time.Now()
		if len(k.carry) > 0 && k.lingering.IsZero() {
			k.lingering = now.Add(k.cfg.Linger)
		}
		n, full := k.cut()
		if full || n > 0 && !now.Before(k.lingering) {
			es := k.carry[:n:n]
			k.carry = k.carry[n:]
			return es, nil
		}
		if err := k.more(ctx, now); err != nil {
			return nil, err
		}
	}
}

// cut is how many entries of carry fit into a batch, and whether no more would.
func (k *consumer) cut() (n int, full bool) {
	size := 0
	for i := range k.carry {
		size += k.carry[i].size
		if i > 0 && size > k.cfg.MaxBytes {
			return i, true
		}
		if i+1 == k.cfg.MaxMessages {
			return i + 1, true
		}
	}
	return len(k.carry), size >= k.cfg.MaxBytes
}

// more tries to get more entries: those that are due again, and then new ones.
func (k *consumer) more(ctx context.Context, now time.Time) error {
	if k.reading != nil {
		return k.await(ctx)
	}
	k.mu.Lock()
	due := k.due
	k.pending -= k.settled
	k.settled = 0
	k.mu.Unlock()
	if !k.attached || !now.Before(due) {
		return k.claim(ctx)
	}
	if k.pending >= k.group.inFlight { // ask again soon whether that has changed
		k.claimAt(now.Add(crowded))
		return k.pause(ctx, crowded)
	}
	k.read(now, due) //nolint:contextcheck // what it brings is for the next call, if not for this
	return k.await(ctx)
}

// pause waits for d, or until the connection changes, or the linger is over.
func (k *consumer) pause(ctx context.Context, d time.Duration) error {
	changed, err := k.conn.link.state()
	if err == nil {
		changed = nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
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

// claimAt moves the next claim forward.
func (k *consumer) claimAt(t time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t.Before(k.due) {
		k.due = t
	}
}

// Close implements broker.Consumer.
func (k *consumer) Close(ctx context.Context) error {
	k.once.Do(func() {
		k.close()
		k.mu.Lock()
		leases := make([]*lease, 0, len(k.leases))
		for l := range k.leases {
			leases = append(leases, l)
		}
		k.mu.Unlock()
		for _, l := range leases {
			l.lose()
		}
		k.leave(ctx)
		k.conn.children.Remove(k)
	})
	return nil
}

const leaveTimeout = 3 * time.Second

// leave gives back everything we hold, once the last read has ended. What can
// not be given back returns to the group when its lease has run out.
func (k *consumer) leave(ctx context.Context) {
	k.receiving.Lock()
	defer k.receiving.Unlock()
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if k.reading != nil {
		select {
		case r := <-k.reading:
			k.carry = append(k.carry, r.entries...)
		case <-ctx.Done():
		}
		k.reading = nil
	}
	args := []any{k.cfg.Group, k.name, "leave"}
	for i := range k.carry {
		args = append(args, k.carry[i].id)
	}
	k.carry = nil
	if !k.attached {
		return
	}
	if _, err := k.conn.run(ctx, leaveScript, k.cfg.Topic, args...); err != nil {
		k.conn.cfg.Log.Warn("messages could not be given back, they return when their lease runs out",
			"topic", k.cfg.Topic, "group", k.cfg.Group, "err", err)
	}
}
