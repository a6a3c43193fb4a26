package quota

import (
	"math"
	"sync/atomic"
)

// Pool is what several tenants take from, such as memory. Nobody takes all of it:
// one that has more than fair times what is left gets no more, so that there is
// always something for others, the less the more there are who take much (dynamic
// thresholds: Choudhury and Hahne, 1998). One tenant alone gets three quarters. It
// never makes anybody wait. It is safe for concurrent use.
type Pool struct {
	limit int64
	used  atomic.Int64
}

// fair is how many times what is left a tenant may have.
const fair = 3

// NewPool makes a pool of so much.
func NewPool(limit int64) *Pool { return &Pool{limit: limit} }

// Limit is how much there is.
func (p *Pool) Limit() int64 { return p.limit }

// Used is how much is taken.
func (p *Pool) Used() int64 { return p.used.Load() }

// Share is what one tenant has of a pool. The zero Share has nothing.
type Share struct{ used atomic.Int64 }

// Used is how much it is.
func (s *Share) Used() int64 { return s.used.Load() }

// Taken says whether something was taken, and if not, why.
type Taken int

// The answers.
const (
	Given  Taken = iota
	Full         // there is no more
	Unfair       // there is, for others
	Over         // the tenant's own limit
)

// Take takes n for a tenant whose share is s, nil for nobody's, leaving so much of
// the pool alone. own is the tenant's own limit, 0 for none.
func (p *Pool) Take(s *Share, n, own, leave int64) Taken {
	used, ok := within(&p.used, n, p.limit-leave)
	if !ok {
		return Full
	}
	if s == nil {
		return Given
	}
	if own <= 0 {
		own = math.MaxInt64
	}
	has, ok := within(&s.used, n, own)
	switch {
	case !ok:
		p.used.Add(-n)
		return Over
	case has > n && has > fair*(p.limit-used): // who has nothing else gets the last of it
		p.Give(s, n)
		return Unfair
	}
	return Given
}

// within adds n where the sum stays within most, and gives the sum. Nobody ever sees
// more than that: to add first and look then would refuse others for what is given back.
func within(sum *atomic.Int64, n, most int64) (now int64, ok bool) {
	for {
		before := sum.Load()
		if before > most-n {
			return before, false
		}
		if sum.CompareAndSwap(before, before+n) {
			return before + n, true
		}
	}
}

// Give gives n back.
func (p *Pool) Give(s *Share, n int64) {
	if s != nil {
		s.used.Add(-n)
	}
	p.used.Add(-n)
}
