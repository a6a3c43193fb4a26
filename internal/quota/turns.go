package quota

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Turns gives out a few places at a time, fairly: every tenant has its own queue,
// they take turns, and none has more places than its limit of queries. It is safe
// for concurrent use.
type Turns struct {
	places  int
	maxWait time.Duration

	mu     sync.Mutex
	taken  int
	queues map[string]*queue // of tenants that have a place or wait
	ring   []*queue          // of those that wait, the next one first
}

// queue is one tenant's.
type queue struct {
	tenant *Tenant
	taken  int
	line   []chan struct{} // closed when its turn has come
}

const (
	// queueSize is how many of one tenant may wait.
	queueSize = 64
	// DefaultWait is how long somebody waits for a turn at most.
	DefaultWait = 10 * time.Second
	// retryTurn is when it is worth coming again.
	retryTurn = time.Second
)

// NewTurns makes places for so many at a time.
func NewTurns(places int, maxWait time.Duration) *Turns {
	return &Turns{places: places, maxWait: maxWait, queues: map[string]*queue{}}
}

// Enter waits for the tenant's turn, and gives the function that ends it. The
// refusal names the limit: too many of the tenant wait, or one waited too long.
func (t *Turns) Enter(ctx context.Context, tenant *Tenant) (leave func(), err error) {
	tenant.shown.Store(true)
	t.mu.Lock()
	q := t.queues[tenant.name]
	if q == nil {
		q = &queue{tenant: tenant}
		t.queues[tenant.name] = q
	}
	if len(q.line) == 0 && t.taken < t.places && q.may() {
		t.take(q)
		t.mu.Unlock()
		return func() { t.leave(q) }, nil
	}
	if len(q.line) >= queueSize {
		running := q.taken
		t.mu.Unlock()
		return nil, tenant.Refuse(Queries, fmt.Sprintf("%d are under way and %d wait", running, queueSize), retryTurn)
	}
	called := make(chan struct{})
	if len(q.line) == 0 {
		t.ring = append(t.ring, q)
	}
	q.line = append(q.line, called)
	t.mu.Unlock()
	timer := time.NewTimer(t.maxWait)
	defer timer.Stop()
	select {
	case <-called:
		return func() { t.leave(q) }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = tenant.Refuse(Queries, fmt.Sprintf("no place came free in %s", t.maxWait), retryTurn)
	}
	if !t.drop(q, called) {
		t.leave(q) // it was called at the same moment
	}
	return nil, err
}

// EnterFor is Enter for a turn that ends by itself after a while, also where the call
// goes on: whoever takes its answer slowly must not hold what the others wait for.
func (t *Turns) EnterFor(ctx context.Context, tenant *Tenant, most time.Duration) (leave func(), err error) {
	end, err := t.Enter(ctx, tenant)
	if err != nil {
		return nil, err
	}
	once := sync.OnceFunc(end)
	timer := time.AfterFunc(most, once)
	return func() { timer.Stop(); once() }, nil
}

// may reports whether the tenant's limit has room.
func (q *queue) may() bool {
	most := q.tenant.Limits()[Queries]
	return most == 0 || int64(q.taken) < most
}

func (t *Turns) take(q *queue) { t.taken++; q.taken++ }

// leave gives a place back, to whose turn it is.
func (t *Turns) leave(q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	q.taken--
	t.call()
	t.forget(q)
}

// call calls those whose turn it is, while there are places. The mutex is held.
func (t *Turns) call() {
	for i := 0; i < len(t.ring) && t.taken < t.places; {
		q := t.ring[i]
		if !q.may() {
			i++ // its own places are taken: the others are not held up by that
			continue
		}
		t.ring = slices.Delete(t.ring, i, i+1)
		first := q.line[0]
		if q.line = q.line[1:]; len(q.line) > 0 {
			t.ring = append(t.ring, q)
		}
		t.take(q)
		close(first)
	}
}

// drop takes somebody out of the line, and tells whether it stood in it.
func (t *Turns) drop(q *queue, called chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(q.line, called)
	if at < 0 {
		return false
	}
	if q.line = slices.Delete(q.line, at, at+1); len(q.line) == 0 {
		t.ring = slices.DeleteFunc(t.ring, func(other *queue) bool { return other == q })
	}
	t.forget(q)
	return true
}

// forget forgets a tenant that has no place and does not wait. The mutex is held.
func (t *Turns) forget(q *queue) {
	if q.taken == 0 && len(q.line) == 0 {
		delete(t.queues, q.tenant.name)
	}
}

// Counts are how many of a tenant have a place, and how many wait.
func (t *Turns) Counts(tenant string) (taken, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[tenant]
	if q == nil {
		return 0, 0
	}
	return q.taken, len(q.line)
}

// Uses shows how many queries of a tenant are under way, for Book.Register.
func (t *Turns) Uses(tenant *Tenant) map[Name]int64 {
	taken, _ := t.Counts(tenant.name)
	return map[Name]int64{Queries: int64(taken)}
}

// OverCost refuses a query of the tenant that reads more, or takes longer, than it may.
// It does not fit later either: whoever asks has to ask for less.
func (t *Tenant) OverCost(read bool) error {
	if read {
		return t.Refuse(QueryRead, "the query would read more; ask for a shorter time or fewer columns", 0)
	}
	return t.Refuse(QueryTime, "the query takes longer; ask for a shorter time", 0)
}
