package quota

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Backlog bounds what of one topic is of one tenant: bytes that this process has
// published and that are not settled yet. So a topic that nobody reads, or not as
// fast as it fills, is full for whoever fills it, before it is for the others. It
// is safe for concurrent use.
//
// Nobody tells which messages are settled. But a topic is settled about in order:
// what was published before its oldest unsettled message is, and what has more
// messages behind it than are pending. See looks at both.
type Backlog struct {
	book     *Book
	pool     *Pool
	index    Topic
	messages atomic.Int64 // published

	mu      sync.Mutex
	seen    map[*Tenant]int64 // of Tenant.sent, in the periods
	periods []*period
}

// period is what was published between two looks.
type period struct {
	end    time.Time
	last   int64 // Backlog.messages at its end
	shares map[*Tenant]int64
}

// Topic names one of the topics that a tenant has a backlog on.
type Topic int

// The topics.
const (
	Spans Topic = iota
	Records
	topics // how many there are
)

// maxPeriods bounds what is remembered; then neighbours become one.
const maxPeriods = 256

// NewBacklog makes the backlog of a topic that keeps so many bytes.
func NewBacklog(book *Book, topic Topic, room int64) *Backlog {
	return &Backlog{book: book, pool: NewPool(room), index: topic, seen: map[*Tenant]int64{}}
}

// Backlog is how many bytes of the tenant's are published and not settled.
func (t *Tenant) Backlog() (sum int64) {
	for i := range t.backlog {
		sum += t.backlog[i].Used()
	}
	return sum
}

// retryBacklog is when it is worth coming again: about as often as it is looked.
const retryBacklog = 2 * time.Second

// Enter tells whether more of a tenant may be published. It is asked before
// anything is read, and so lets a little too much in.
func (b *Backlog) Enter(t *Tenant) error {
	has, own := t.backlog[b.index].Used(), t.Limits()[BacklogBytes]
	if own > 0 && has >= own || has > 0 && has > fair*(b.pool.Limit()-b.pool.Used()) {
		return t.Refuse(BacklogBytes, BacklogBytes.Format(has)+" wait to be stored", retryBacklog)
	}
	return nil
}

// Published counts a message of a tenant that the broker has.
func (b *Backlog) Published(t *Tenant, bytes int64) {
	// In this order: a message that is counted in one period, and its bytes in the
	// next, counts for a little too long and not too short.
	b.messages.Add(1)
	t.sent[b.index].Add(bytes)
	t.backlog[b.index].used.Add(bytes)
	b.pool.used.Add(bytes)
}

// Lag tells how many messages of the topic are pending, and the age of the oldest
// of them, 0 where that is not known.
type Lag func(ctx context.Context) (pending int64, oldest time.Duration, err error)

const (
	// lookEvery is how often it is looked how far the readers are.
	lookEvery = time.Second
	// lookTimeout bounds one look.
	lookTimeout = 3 * time.Second
)

// Watch looks how far the topic's readers are until ctx ends. While nobody can tell,
// nothing counts as settled.
func (b *Backlog) Watch(ctx context.Context, lag Lag) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		b.Look(ctx, time.Now(), lag)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Look looks once.
func (b *Backlog) Look(ctx context.Context, now time.Time, lag Lag) {
	b.mu.Lock()
	defer b.mu.Unlock()
	published := b.end(now) // before it is asked: what comes meanwhile is pending at most
	if len(b.periods) == 0 {
		return // nothing of ours
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	pending, oldest, err := lag(ctx)
	if err != nil {
		return
	}
	settled := 0
	for _, p := range b.periods {
		if pending > 0 && p.last > published-pending && (oldest <= 0 || p.end.After(now.Add(-oldest-slack))) {
			break
		}
		for t, bytes := range p.shares {
			b.pool.Give(&t.backlog[b.index], bytes)
		}
		settled++
	}
	b.periods = append([]*period(nil), b.periods[settled:]...)
	if len(b.periods) > maxPeriods {
		b.halve()
	}
}

// slack is by how much clocks of the broker and ours may differ.
const slack = 5 * time.Second

// end ends the present period and gives how many messages were published by then.
func (b *Backlog) end(now time.Time) (published int64) {
	published = b.messages.Load()
	p := &period{end: now, last: published, shares: map[*Tenant]int64{}}
	for _, t := range b.book.all() {
		sent := t.sent[b.index].Load()
		if more := sent - b.seen[t]; more > 0 {
			p.shares[t], b.seen[t] = more, sent
		}
	}
	if len(p.shares) > 0 {
		b.periods = append(b.periods, p)
	}
	return published
}

// halve makes one of each two periods.
func (b *Backlog) halve() {
	half := b.periods[:0]
	for i := 0; i < len(b.periods); i += 2 {
		p := b.periods[i]
		if i+1 < len(b.periods) {
			next := b.periods[i+1]
			for t, bytes := range p.shares {
				next.shares[t] += bytes
			}
			p = next
		}
		half = append(half, p)
	}
	b.periods = half
}
