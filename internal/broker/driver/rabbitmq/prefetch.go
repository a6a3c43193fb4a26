package rabbitmq

import (
	"github.com/driftmesh/driftmesh/internal/broker"
)

// The broker bounds what it pushes by number only, and the library buffers
// whatever comes. So the prefetch follows the size of the messages: it begins
// small and becomes what fits into the memory that the consumer may use.

const (
	firstPrefetch = 128
	learnFrom     = 16 // messages
	mostPrefetch  = 1<<16 - 1
	weightOfNew   = 1.0 / 32
)

// sizes is what a consumer knows about the size of its messages.
type sizes struct {
	least, most int     // bounds of the prefetch
	budget      float64 // bytes
	average     float64
	seen        int
}

// newSizes is what is known at the beginning: nothing.
func newSizes(cfg broker.ConsumerConfig) sizes {
	return sizes{
		least: min(cfg.MaxInFlight+1, mostPrefetch),
		// One batch beyond those in flight, and room for retries that wait.
		most:   min((cfg.MaxInFlight+2)*cfg.MaxMessages, mostPrefetch),
		budget: float64(cfg.MaxInFlight+1) * float64(cfg.MaxBytes),
	}
}

func (s *sizes) add(n int) {
	s.seen++
	s.average += (float64(n) - s.average) * max(weightOfNew, 1/float64(s.seen))
}

// fit is what the prefetch should be: as it is, now, while that is about right.
func (s *sizes) fit(now int) int {
	switch {
	case s.seen < learnFrom && now > 0:
		return now
	case s.seen < learnFrom:
		return min(firstPrefetch, s.most)
	}
	want := max(min(int(s.budget/max(s.average, 1)), s.most), s.least)
	if big, right := now >= 2*want, now >= want || now > want/2 && want < s.most; right && !big {
		return now
	}
	return want
}
