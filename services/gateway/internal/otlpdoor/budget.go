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
func (l *lease) grow(n int) bool {
	more := int64(n) - l.held
	if more <= 0 {
		return true
	}
	if l.from.used.Add(more) > l.from.limit {
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
