package records

import (
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// budget bounds the bytes that are being worked on. It never makes anybody
// wait: memory is freed by the broker's pace, and a caller who waits holds more
// of it.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes; the returned function gives them back. A single batch
// larger than the whole budget passes when it is alone.
func (b *budget) take(n int64) (free func(), err error) {
	after := b.used.Add(n)
	if after > b.limit && after != n {
		b.used.Add(-n)
		return nil, fault.Unavailable.New("the gateway has too much under way").
			WithReason("GATEWAY_FULL").WithRetryAfter(time.Second)
	}
	return func() { b.used.Add(-n) }, nil
}
