package quota

import (
	"sync/atomic"
	"time"
)

// Bucket bounds a rate: a token bucket that is paid afterwards. Who comes is let in
// while anything is left, and charged when it is known what it brought, which may
// be more than was left; the next wait until that is made up for. So whoever is over
// its rate is turned away before anything of it is read, nothing is too large for a
// bucket, and in the long run no more than the rate comes in. What is let in at
// once beyond that is bounded by the memory that it may take.
//
// The zero Bucket is full. It is one number, when all that was charged will be made
// up for, so that it needs no lock (the GCRA of ATM networks). It is safe for
// concurrent use.
type Bucket struct{ even atomic.Int64 } // nanoseconds since 1970

// Wait is how long until the bucket lets somebody in; 0 is now. The rate is a
// second's; without one it always does. A burst of 0 is what comes in a second.
func (b *Bucket) Wait(now time.Time, rate, burst int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	over := b.even.Load() - now.UnixNano() - int64(span(burst, rate))
	return time.Duration(max(over+1, 0))
}

// Charge takes n from the bucket.
func (b *Bucket) Charge(now time.Time, n, rate int64) {
	if rate <= 0 || n <= 0 {
		return
	}
	costs := int64(span(n, rate))
	for {
		even := b.even.Load()
		if b.even.CompareAndSwap(even, max(even, now.UnixNano())+costs) {
			return
		}
	}
}

// refund takes a charge back.
func (b *Bucket) refund(n, rate int64) {
	if rate > 0 && n > 0 {
		b.even.Add(-int64(span(n, rate)))
	}
}

// Forget begins anew: what was charged at another rate says nothing at this one, and
// who was given too little by mistake must not wait until that is made up for.
func (b *Bucket) Forget() { b.even.Store(0) }

// Used is how much of a burst is used up now, at most all of it and what is
// overdrawn.
func (b *Bucket) Used(now time.Time, rate int64) int64 {
	return int64(max(float64(b.even.Load()-now.UnixNano()), 0) / 1e9 * float64(rate))
}

// maxSpan keeps sums of times from overflowing, whatever is charged.
const maxSpan = float64(30 * 24 * time.Hour)

// span is how long n takes at a rate.
func span(n, rate int64) time.Duration {
	if n <= 0 {
		return time.Second
	}
	return time.Duration(min(float64(n)/float64(rate)*1e9, maxSpan))
}
