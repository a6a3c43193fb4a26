package runner

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// backoff is the wait before try n (from 0): exponential between min and max,
// with jitter of up to half of it.
func backoff(n int, low, high time.Duration) time.Duration {
	d := high
	if n < 20 && low<<n < high {
		d = low << n
	}
	return d/2 + rand.N(d/2+1)
}

// maxFailures bounds what a runner remembers about failed messages.
const maxFailures = 100_000

// failures counts, per message, how often it failed in this process. It does
// not rely on the broker's count, which grows with every crash and outage too.
// It is safe for concurrent use.
type failures struct {
	mu     sync.Mutex
	counts map[place]*count
}

type place struct{ lane, position, id string }

type count struct {
	burned int // failures that count toward MaxAttempts
	given  int // times it was given back since it was published
	rounds int // times it was given back, also before it was published anew
}

func newFailures() *failures { return &failures{counts: map[place]*count{}} }

func placeOf(d *broker.Delivery) place {
	if d.Position != "" {
		return place{lane: d.Lane, position: d.Position}
	}
	return place{id: d.ID}
}

// add counts a failure and returns the sums with it.
func (f *failures) add(d *broker.Delivery, burned bool) count {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.find(d)
	if c == nil {
		if len(f.counts) >= maxFailures {
			for p := range f.counts { // any: the broker's own count remains
				delete(f.counts, p)
				break
			}
		}
		c = &count{}
		f.counts[placeOf(d)] = c
	}
	if burned {
		c.burned++
	}
	c.given++
	c.rounds++
	return *c
}

// of returns the sums of a message.
func (f *failures) of(d *broker.Delivery) count {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.find(d); c != nil {
		return *c
	}
	return count{}
}

// find is called with mu held. One that was published anew is known by its id
// until it comes.
func (f *failures) find(d *broker.Delivery) *count {
	at, named := placeOf(d), place{id: d.ID}
	c := f.counts[at]
	if c == nil && at != named && f.counts[named] != nil {
		c = f.counts[named]
		delete(f.counts, named)
		f.counts[at] = c
	}
	return c
}

// renewed is called when a message was published anew under another id.
func (f *failures) renewed(d *broker.Delivery, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.find(d); c != nil {
		delete(f.counts, placeOf(d))
		f.counts[place{id: id}] = &count{burned: c.burned, rounds: c.rounds}
	}
}

// forget is called when a message is settled for good.
func (f *failures) forget(d *broker.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.counts) > 0 {
		delete(f.counts, placeOf(d))
	}
}
