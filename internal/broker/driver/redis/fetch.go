package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	// blockMax is how long a read waits on the server; it can not be interrupted.
	blockMax = 500 * time.Millisecond
	// blockBusy is the same while the worker holds batches, some of which may be
	// given back.
	blockBusy = 100 * time.Millisecond
	// claimEvery is how often a worker looks for what others gave back, or left.
	claimEvery = 500 * time.Millisecond
	// crowded is how often a worker asks whether the group may have more.
	crowded = 50 * time.Millisecond
	// readMax and firstGuess bound what one read can bring: the command takes a
	// number of entries, of sizes unknown. What was read beyond the batch waits for
	// the next.
	readMax    = 256
	firstGuess = 1 << 20
)

// read is what one XREADGROUP brought.
type read struct {
	entries []entry
	err     error
}

// read begins to read new entries. The lease on them begins when the server
// hands them out, hence not before now.
func (k *consumer) read(now, due time.Time) {
	block := blockMax
	k.mu.Lock()
	if len(k.leases) > 0 {
		block = blockBusy
	}
	k.mu.Unlock()
	block = min(block, k.group.ackWait/4, due.Sub(now))
	if !k.lingering.IsZero() {
		block = min(block, k.lingering.Sub(now))
	}
	args := []any{
		"XREADGROUP", "GROUP", k.cfg.Group, k.name, "COUNT", k.room(),
		"BLOCK", max(block.Milliseconds(), 1), "STREAMS", k.conn.stream(k.cfg.Topic), ">",
	}
	k.reading = make(chan read, 1) // with room, so that the goroutine ends though nobody may ask again
	go func(out chan<- read) {
		reply, err := k.conn.sub.Do(context.WithoutCancel(k.closed), args...).Result()
		if errors.Is(err, goredis.Nil) {
			err = nil
		}
		out <- read{entries: streamed(reply, now), err: err}
	}(k.reading)
}

// room is how many entries to ask for.
func (k *consumer) room() int {
	n, bytes := k.cfg.MaxMessages-len(k.carry), k.cfg.MaxBytes
	for i := range k.carry {
		bytes -= k.carry[i].size
	}
	n = min(n, bytes/max(k.biggest, 1), readMax, int(min(k.group.inFlight-k.pending, readMax)))
	return max(n, 1)
}

// await waits for the read that is on its way.
func (k *consumer) await(ctx context.Context) error {
	select {
	case r := <-k.reading:
		k.reading = nil
		return k.got(ctx, r)
	case <-ctx.Done():
		return ctx.Err()
	case <-k.closing:
		return broker.ErrClosed
	}
}

// got takes what a read brought.
func (k *consumer) got(ctx context.Context, r read) error {
	if r.err != nil {
		err := k.conn.link.observe(r.err)
		// The server may have handed out what we never heard of.
		k.suspect = time.Now().Add(k.group.ackWait)
		return k.trouble(ctx, err)
	}
	k.biggest -= k.biggest / 8
	for i := range r.entries {
		k.biggest = max(k.biggest, r.entries[i].size)
	}
	k.pending += int64(len(r.entries))
	k.carry = append(k.carry, r.entries...)
	return nil
}

// trouble waits a little after an error.
func (k *consumer) trouble(ctx context.Context, err error) error {
	if errors.Is(err, broker.ErrClosed) && k.closed.Err() == nil {
		return err
	}
	if k.attached || !k.told {
		k.told = true
		k.conn.cfg.Log.Warn("cannot receive, trying on", "topic", k.cfg.Topic, "group", k.cfg.Group, "err", err)
	}
	k.attached = false
	return k.pause(ctx, claimEvery)
}

// claim takes over what is due again, and learns the settings of the group.
func (k *consumer) claim(ctx context.Context) error {
	n, bytes := k.cfg.MaxMessages-len(k.carry), k.cfg.MaxBytes
	for i := range k.carry {
		bytes -= k.carry[i].size
	}
	now := time.Now()
	if now.Before(k.suspect) {
		k.disown(ctx)
	}
	call, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	out, err := k.conn.list(call, 5, takeScript, k.cfg.Topic, k.cfg.Group, k.name, n, max(bytes, 1))
	if err != nil {
		if ctx.Err() != nil {
			k.suspect = now.Add(k.group.ackWait)
			return ctx.Err()
		}
		return k.trouble(ctx, fmt.Errorf("claim: %w", err))
	}
	k.group = group{ackWait: time.Duration(integer(out[0])) * time.Millisecond, inFlight: integer(out[1])}
	k.counted(integer(out[2]))
	k.attached = true
	k.conn.cfg.Losses(k.cfg.Topic, k.cfg.Group, integer(out[3]))
	es := entries(out[4], now)
	k.reclaimed(es)
	k.carry = append(k.carry, es...)
	next := now.Add(min(claimEvery, k.group.ackWait/4))
	if len(es) > 0 {
		next = now // there may be more
	}
	k.mu.Lock()
	k.due = next
	k.mu.Unlock()
	return nil
}

// counted notes how many entries of the group are pending, as the server says.
func (k *consumer) counted(pending int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending, k.settled = pending, 0
	k.epoch++
}

// reclaimed ends the leases under which we held the same entries before. We can
// claim from ourselves: a lease that was not extended is due, whoever had it, and its
// timer may be a moment late. Without this the old batch could settle what the new
// one holds, because both are under our name.
func (k *consumer) reclaimed(es []entry) {
	if len(es) == 0 {
		return
	}
	again := make(map[string]bool, len(es))
	for i := range es {
		again[es[i].id] = true
	}
	k.mu.Lock()
	var old []*lease
	for l := range k.leases {
		for _, id := range l.ids {
			if again[id] && !l.given[id] {
				old = append(old, l)
				break
			}
		}
	}
	k.mu.Unlock()
	for _, l := range old {
		l.lose()
	}
}

// refresh renews the lease on entries that have waited for this Receive, and
// drops those that are with others by now.
func (k *consumer) refresh(ctx context.Context) {
	now := time.Now()
	old := false
	for i := range k.carry {
		old = old || now.Sub(k.carry[i].since) > k.group.ackWait/4
	}
	if !old {
		return
	}
	ids := make([]string, len(k.carry))
	for i := range k.carry {
		ids[i] = k.carry[i].id
	}
	if k.settle(ctx, "keep", 0, ids) != nil {
		k.carry = nil // they return when their lease has run out
		return
	}
	for i := range k.carry {
		k.carry[i].since = now
	}
}

// disown gives back what the server handed out to us in answers that we never
// got.
func (k *consumer) disown(ctx context.Context) {
	args := []any{k.cfg.Group, k.name, "keep"}
	for i := range k.carry {
		args = append(args, k.carry[i].id)
	}
	k.mu.Lock()
	for l := range k.leases {
		for _, id := range l.ids {
			if !l.given[id] {
				args = append(args, id)
			}
		}
	}
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	// Best effort: what is not given back returns when its lease has run out.
	_, _ = k.conn.run(ctx, leaveScript, k.cfg.Topic, args...)
}
