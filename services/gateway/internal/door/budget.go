package door

import (
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/quota"
)

// Budget is the bytes of requests, and of what live tails wait to send, that all
// doors of a process may hold in memory at once, of which no tenant takes all. Make
// it with NewBudget; it is safe for concurrent use.
//
// It never makes anybody wait: memory is freed by the broker's pace, and a
// caller who waits holds more of it.
type Budget struct{ pool *quota.Pool }

// NewBudget makes a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{quota.NewPool(limit)} }

// Limit is the most that may be held.
func (b *Budget) Limit() int64 { return b.pool.Limit() }

// Used is what is held now.
func (b *Budget) Used() int64 { return b.pool.Used() }

// Lease begins one request's share of the budget, of no bytes yet and of nobody's.
func (b *Budget) Lease() Lease { return Lease{from: b} }

// Lease is one request's share of a budget. It is used by one goroutine, and
// freed in the end.
type Lease struct {
	from   *Budget
	tenant *quota.Tenant
	held   int64
	taken  quota.Taken // what came of the last attempt
}

// For makes the lease, which holds nothing yet, one of a tenant's; nil is nobody's.
func (l *Lease) For(t *quota.Tenant) { l.tenant = t }

// Held is how many bytes it is.
func (l *Lease) Held() int { return int(l.held) }

// Grow makes the lease at least n bytes; false leaves it as it is, and Why tells
// the reason.
func (l *Lease) Grow(n int) bool { return l.take(int64(n)-l.held, 0) }

// Resize makes the lease n bytes; false leaves it as it is.
func (l *Lease) Resize(n int) bool {
	if less := l.held - int64(n); less > 0 {
		l.from.pool.Give(l.share(), less)
		l.held -= less
		return true
	}
	return l.Grow(n)
}

// Spare adds n bytes if that leaves half of the budget to others; false leaves
// the lease as it is.
func (l *Lease) Spare(n int) bool { return l.take(int64(n), l.from.pool.Limit()/2) }

func (l *Lease) take(more, leave int64) bool {
	if more <= 0 {
		return true
	}
	own := int64(0)
	if l.tenant != nil {
		own = l.tenant.Limits()[quota.InFlight]
	}
	if l.taken = l.from.pool.Take(l.share(), more, own, leave); l.taken != quota.Given {
		return false
	}
	l.held += more
	return true
}

func (l *Lease) share() *quota.Share {
	if l.tenant == nil {
		return nil
	}
	return &l.tenant.Memory
}

// retryMemory is when there may be memory again.
const retryMemory = time.Second

// Why is the reason why the lease did not grow: full, when there is no more memory
// for anybody, and a refusal that names the limit when the tenant has its share.
func (l *Lease) Why(full error) error {
	if l.taken != quota.Over && l.taken != quota.Unfair {
		return full
	}
	return l.tenant.Refuse(quota.InFlight, fmt.Sprintf("%s of its requests are in hand", quota.InFlight.Format(l.tenant.Memory.Used())), retryMemory)
}

// Free gives everything back.
func (l *Lease) Free() {
	l.from.pool.Give(l.share(), l.held)
	l.held = 0
}

// Room is memory of the budget for what live tails of a tenant wait to send: they
// leave half of it to requests.
func (b *Budget) Room(t *quota.Tenant) *Room { return &Room{b, t} }

// Room implements broker.Room.
type Room struct {
	from   *Budget
	tenant *quota.Tenant
}

// Take takes n bytes, or reports that there are none.
func (r *Room) Take(n int) bool {
	return r.from.pool.Take(&r.tenant.Memory, int64(n), r.tenant.Limits()[quota.InFlight], r.from.pool.Limit()/2) == quota.Given
}

// Give gives n bytes back.
func (r *Room) Give(n int) { r.from.pool.Give(&r.tenant.Memory, int64(n)) }
