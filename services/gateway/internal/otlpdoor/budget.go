package otlpdoor

import "sync/atomic"

// budget is the bytes of requests that may be in memory at once. It is safe
// for concurrent use.
type budget struct {
	limit int64
	used  atomic.Int64
}

// lease is one request's share of the budget. It is used by one goroutine.
type lease struct {
	from *budget
	held int64
}

// grow makes the lease at least n bytes; false leaves it as it is.
func (l *lease) grow(n int) bool { return l.take(int64(n)-l.held, l.from.limit) }

// resize makes the lease n bytes; false leaves it as it is.
func (l *lease) resize(n int) bool {
	if less := l.held - int64(n); less > 0 {
		l.from.used.Add(-less)
		l.held -= less
		return true
	}
	return l.grow(n)
}

// spare adds n bytes if that leaves half of the budget to others; false leaves
// the lease as it is.
func (l *lease) spare(n int) bool { return l.take(int64(n), l.from.limit/2) }

func (l *lease) take(more, limit int64) bool {
	if more <= 0 {
		return true
	}
	if l.from.used.Add(more) > limit {
		l.from.used.Add(-more)
		return false
	}
	l.held += more
	return true
}

// free gives everything back.
func (l *lease) free() {
	l.from.used.Add(-l.held)
	l.held = 0
}
