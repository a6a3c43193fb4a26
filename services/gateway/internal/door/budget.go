package door

import "sync/atomic"

// Budget is the bytes of requests that all doors of a process may hold in
// memory at once. Make it with NewBudget; it is safe for concurrent use.
//
// It never makes anybody wait: memory is freed by the broker's pace, and a
// caller who waits holds more of it.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Limit is the most that may be held.
func (b *Budget) Limit() int64 { return b.limit }

// Used is what is held now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Lease begins one request's share of the budget, of no bytes yet.
func (b *Budget) Lease() Lease { return Lease{from: b} }

// Lease is one request's share of a budget. It is used by one goroutine, and
// freed in the end.
type Lease struct {
	from *Budget
	held int64
}

// Held is how many bytes it is.
func (l *Lease) Held() int { return int(l.held) }

// Grow makes the lease at least n bytes; false leaves it as it is.
func (l *Lease) Grow(n int) bool { return l.take(int64(n)-l.held, l.from.limit) }

// Resize makes the lease n bytes; false leaves it as it is.
func (l *Lease) Resize(n int) bool {
	if less := l.held - int64(n); less > 0 {
		l.from.used.Add(-less)
		l.held -= less
		return true
	}
	return l.Grow(n)
}

// Spare adds n bytes if that leaves half of the budget to others; false leaves
// the lease as it is.
func (l *Lease) Spare(n int) bool { return l.take(int64(n), l.from.limit/2) }

func (l *Lease) take(more, limit int64) bool {
	if more <= 0 {
		return true
	}
	// Added before it is compared: of two who only looked, both would fit.
	if l.from.used.Add(more) > limit {
		l.from.used.Add(-more)
		return false
	}
	l.held += more
	return true
}

// Free gives everything back.
func (l *Lease) Free() {
	l.from.used.Add(-l.held)
	l.held = 0
}
