package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Words of the acknowledgement protocol.
var (
	ackAck      = []byte("+ACK")
	ackNak      = []byte("-NAK")
	ackProgress = []byte("+WPI")
)

const settleTimeout = 5 * time.Second

// lease is one batch in a worker's hands, and the batch's settler.
type lease struct {
	consumer *consumer
	replies  []string        // where each delivery is acknowledged
	ctx      context.Context //nolint:containedctx // it is the lease
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	free     sync.Once
}

var _ broker.Settler = (*lease)(nil)

// lease makes a batch of messages. It is empty when none of them is a delivery,
// the group they came from is no more, or the consumer is closed, and then not
// leased.
func (k *consumer) lease(msgs []*nats.Msg) *broker.Batch {
	l := &lease{consumer: k, replies: make([]string, 0, len(msgs))}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	ds := make([]broker.Delivery, 0, len(msgs))
	for _, m := range msgs {
		meta, ok := parseReply(m.Reply)
		if !ok {
			k.conn.cfg.Log.Error("message without metadata skipped", "topic", k.cfg.Topic, "subject", m.Subject)
			continue
		}
		var d broker.Delivery
		decode(m, &d.Message, meta.stored)
		d.Topic, d.Lane = k.cfg.Topic, "0"
		d.Attempt, d.Position = meta.attempt, strconv.FormatUint(meta.stream, 10)
		k.lost(k.gap.next(meta))
		ds, l.replies = append(ds, d), append(l.replies, m.Reply)
	}
	k.mu.Lock()
	// forsake and Close say so first and then, under mu, take the leases that
	// there are: a lease either is among those or is not made.
	gone, closed := k.life != k.joined, k.closed.Err() != nil
	if len(ds) == 0 || gone || closed {
		k.mu.Unlock()
		l.cancel(broker.ErrLeaseLost)
		switch {
		case gone:
			k.forget()
		case closed:
			k.carry = msgs // for release, which waits for this Receive
		}
		return &broker.Batch{}
	}
	k.leases[l] = struct{}{}
	hold := safe(k.ackWait)
	l.timer = time.AfterFunc(time.Until(k.since.Add(hold)), l.lose)
	k.mu.Unlock()
	return broker.NewBatch(l.ctx, ds, hold, l)
}

// safe is when we give a lease up, a little before the server does.
func safe(ackWait time.Duration) time.Duration { return ackWait - min(ackWait/10, time.Second) }

// Ack implements broker.Settler.
func (l *lease) Ack(ctx context.Context, idx []int) error { return l.settle(ctx, idx, ackAck) }

// Retry implements broker.Settler.
func (l *lease) Retry(ctx context.Context, idx []int, after time.Duration) error {
	word := ackNak
	if after > 0 {
		word = fmt.Appendf(nil, `-NAK {"delay": %d}`, after.Nanoseconds())
	}
	return l.settle(ctx, idx, word)
}

// Extend implements broker.Settler.
func (l *lease) Extend(ctx context.Context, idx []int) error {
	start := time.Now()
	if err := l.settle(ctx, idx, ackProgress); err != nil {
		return err
	}
	l.consumer.mu.Lock()
	defer l.consumer.mu.Unlock()
	l.timer.Reset(time.Until(start.Add(safe(l.consumer.ackWait))))
	return nil
}

// settle says word about every index, and waits for the server's answer to the
// last, which comes after it has heard all. When the connection broke on the
// way, some may not have been heard: it says everything again.
//
// A server that was killed may have forgotten what it had delivered last. It
// answers no acknowledgement of that, however often it is said, and delivers it
// again only to who asks for more: so the lease is given up, though its
// extensions are still answered.
func (l *lease) settle(caller context.Context, idx []int, word []byte) error {
	ctx, cancel := context.WithTimeout(caller, settleTimeout)
	defer cancel()
	link := l.consumer.link
	for {
		if l.ctx.Err() != nil {
			return broker.ErrLeaseLost
		}
		epoch := link.epoch()
		err := l.say(ctx, idx, word)
		if err == nil && link.epoch() == epoch {
			return nil
		}
		if err := l.reconnected(ctx); err != nil {
			if ctx.Err() != nil && caller.Err() == nil && link.epoch() == epoch && link.nc.IsConnected() && !bytes.Equal(word, ackProgress) {
				l.lose()
				return broker.ErrLeaseLost
			}
			return err
		}
	}
}

func (l *lease) say(ctx context.Context, idx []int, word []byte) error {
	nc := l.consumer.link.nc
	last := len(idx) - 1
	for _, i := range idx[:last] {
		if err := nc.Publish(l.replies[i], word); err != nil {
			return err
		}
	}
	_, err := nc.RequestWithContext(ctx, l.replies[idx[last]], word)
	return err
}

// reconnected waits until it is worth to try again.
func (l *lease) reconnected(ctx context.Context) error {
	_, changed := l.consumer.link.state()
	t := time.NewTimer(reconnectMin)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-l.ctx.Done():
		return broker.ErrLeaseLost
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("settle: %w", l.consumer.link.err())
		}
		return ctx.Err()
	}
	return nil
}

// Settled implements broker.Settler.
func (l *lease) Settled() { l.end() }

// lose ends the lease: the server may give the deliveries to others now.
func (l *lease) lose() {
	l.cancel(broker.ErrLeaseLost)
	l.end()
}

// abandon gives everything back and loses the lease. What was settled before
// is not affected: the server ignores words about it.
func (l *lease) abandon() {
	l.cancel(broker.ErrLeaseLost)
	for _, reply := range l.replies {
		// Best effort: what is not given back returns when its lease runs out.
		_ = l.consumer.link.nc.Publish(reply, ackNak)
	}
	l.end()
}

// end frees the slot, once. Taking from slots never waits: Receive has put in
// there what this lease takes out.
func (l *lease) end() {
	l.free.Do(func() {
		l.consumer.mu.Lock()
		l.timer.Stop() // under the lock, as it may fire before it is set
		delete(l.consumer.leases, l)
		l.consumer.mu.Unlock()
		<-l.consumer.slots
	})
}

// meta is what a reply subject says about its delivery.
type meta struct {
	attempt  int
	stream   uint64 // sequence in the stream
	consumer uint64 // sequence of deliveries to the group
	stored   time.Time
}

// parseReply reads $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<attempt>.
// <stream seq>.<consumer seq>.<time>.<pending>[.<token>].
func parseReply(reply string) (m meta, ok bool) {
	parts := strings.Split(reply, ".")
	base := 2
	switch {
	case len(parts) < 9 || parts[0] != "$JS" || parts[1] != "ACK":
		return m, false
	case len(parts) >= 11:
		base = 4
	}
	var n [4]uint64
	for i := range n {
		v, err := strconv.ParseUint(parts[base+2+i], 10, 64)
		if err != nil {
			return m, false
		}
		n[i] = v
	}
	return meta{attempt: int(n[0]), stream: n[1], consumer: n[2], stored: time.Unix(0, int64(n[3]))}, true
}
