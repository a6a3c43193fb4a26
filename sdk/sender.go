package sdk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// forever is a wait that only a wake ends.
const forever = time.Duration(math.MaxInt64)

// maxSuspect is how often a batch is tried that may itself be why it fails. With
// the waits in between that is longer than a mesh takes to start.
const maxSuspect = 12

// flight is what travels together: a run of items that was taken out of the
// waiting room.
type flight struct {
	first uint64 // number of its first item, counted from 1 over the lane's life
	items int
	bytes int
	load  any // the room knows
}

// room keeps the items of a lane that wait. The lane's mu guards it.
type room interface {
	// waiting is how many items are in it.
	waiting() int
	// whole tells whether a whole batch is in it.
	whole() bool
	// take takes the next batch out, of at least one item.
	take() *flight
}

// laneConfig is how a lane works.
type laneConfig struct {
	linger   time.Duration // of the first item of a batch
	inFlight int           // batches at a time
}

// lane carries the items of one signal to one place: batches leave when they are
// whole or their first item has waited long enough, several at a time. It is safe
// for concurrent use.
type lane struct {
	cfg   laneConfig
	room  room
	pace  *pace
	carry func(context.Context, *flight) // delivers, and says in tally what came of it

	mu      sync.Mutex
	since   time.Time // when what waits began to
	entered uint64    // items ever taken in
	left    uint64    // items ever taken out to travel
	flights []*flight // without an answer, in order
	flying  int       // items in them
	load    int       // bytes in them
	flushTo uint64    // items up to this number do not linger
	closed  bool
	tally   tally

	changed chan struct{} // closed and replaced whenever items leave for good
	wake    chan struct{} // capacity 1: there may be something to send
}

func newLane(cfg laneConfig, r room, p *pace) *lane {
	return &lane{cfg: cfg, room: r, pace: p, changed: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// came takes note of an item that is in the room now. The caller holds mu.
func (l *lane) came() {
	l.entered++
	if n := l.room.waiting(); n == 1 {
		l.since = time.Now()
		l.nudge()
	} else if l.room.whole() {
		l.nudge()
	}
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run sends what comes until ctx ends, and waits for what is on its way.
func (l *lane) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	timer := time.NewTimer(forever)
	defer timer.Stop()
	for {
		f, wait := l.next(time.Now())
		if f != nil {
			all.Go(func() {
				l.carry(ctx, f)
				l.landed(f)
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// next takes out what is to leave now, or says how long to wait for it unless wake
// comes first.
func (l *lane) next(now time.Time) (*flight, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.room.waiting()
	if waiting == 0 || len(l.flights) >= l.cfg.inFlight {
		return nil, forever
	}
	if len(l.flights) > 0 && l.pace.held(now) {
		return nil, forever // those that fly find out when the mesh is back
	}
	if !l.room.whole() && !l.closed && l.left+1 > l.flushTo {
		if linger := l.cfg.linger - now.Sub(l.since); linger > 0 {
			return nil, linger
		}
	}
	f := l.room.take()
	f.first = l.left + 1
	l.left += uint64(f.items)
	l.since = now
	l.flights = append(l.flights, f)
	l.flying += f.items
	l.load += f.bytes
	return f, 0
}

// landed lets go of a flight.
func (l *lane) landed(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.flights, f)
	l.flights = slices.Delete(l.flights, i, i+1)
	l.flying -= f.items
	l.load -= f.bytes
	l.stir()
}

// stir wakes all who wait for a change. The caller holds mu.
func (l *lane) stir() {
	close(l.changed)
	l.changed = make(chan struct{})
	l.nudge()
}

// hurry lets everything that is here now leave without lingering, and returns the
// number of its last item.
func (l *lane) hurry() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushTo = l.entered
	l.nudge()
	return l.entered
}

// await waits until all items up to a number have an answer, and gives what went
// wrong since it was last asked.
func (l *lane) await(ctx context.Context, target uint64) error {
	for {
		changed, err, done := l.answered(target)
		if done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *lane) answered(target uint64) (changed <-chan struct{}, err error, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.left + 1
	if len(l.flights) > 0 {
		oldest = l.flights[0].first
	}
	if oldest <= target {
		return l.changed, nil, false
	}
	return nil, l.tally.since(), true
}

// close lets no more items in.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.stir()
}

// abandon counts what is still in the room as lost, when nobody will come for it.
func (l *lane) abandon(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.room.waiting() > 0 {
		f := l.room.take()
		l.left += uint64(f.items)
		if errors.Is(l.tally.cause, cause) {
			cause = l.tally.cause // of those that were on their way, which says more
		}
		l.tally.lose(DroppedShutdown, f.items, cause)
	}
	l.stir()
}

// count keeps account under mu.
func (l *lane) count(f func(*tally)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.tally)
}

func (l *lane) snapshot() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.tally.counts()
	c.Queued = l.room.waiting() + l.flying
	return c
}

// pace says when attempts are made: all at once wait while a mesh is away, because
// what one has found out holds for all. It is safe for concurrent use.
type pace struct {
	shortest, longest time.Duration

	mu     sync.Mutex
	until  time.Time // no attempt before
	failed time.Time // when the last one failed
	rounds int       // in a row that failed
}

// held tells whether attempts have to wait.
func (p *pace) held(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.until)
}

// wait waits until an attempt may be made; false when ctx ends first.
func (p *pace) wait(ctx context.Context) bool {
	for {
		p.mu.Lock()
		d := time.Until(p.until)
		p.mu.Unlock()
		if d <= 0 {
			return ctx.Err() == nil
		}
		if !pause(ctx, d) {
			return false
		}
	}
}

// passed takes note of an attempt that was answered.
func (p *pace) passed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rounds, p.until = 0, time.Time{}
}

// missed takes note of an attempt that began then and failed; the mesh asks to wait
// so long. Attempts that were under way together are one round.
func (p *pace) missed(began time.Time, asked time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rounds == 0 || began.After(p.failed) {
		p.rounds++
	}
	p.failed = time.Now()
	until := p.failed.Add(max(asked, p.backoff(p.rounds-1)))
	if until.After(p.until) {
		p.until = until
	}
}

// backoff is the wait before another attempt: it doubles, and half of it is
// left to chance so that many clients do not come back together.
func (p *pace) backoff(attempt int) time.Duration {
	d := p.longest
	if attempt < 16 {
		d = min(p.shortest<<attempt, d)
	}
	return d/2 + rand.N(d/2+1)
}

// pause waits; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// courier delivers batches, each until it has an answer.
type courier struct {
	send    func(context.Context, Batch) (Answer, error) // as Transport.Send
	timeout time.Duration                                // of one attempt
	retried func()                                       // is told of every attempt that is made again
}

// deliver sends a batch until it has an answer, is refused for good, or ctx ends.
// Then the error says why, and how the last attempt failed.
func (c courier) deliver(ctx context.Context, p *pace, b Batch) (Answer, error) {
	var last error
	for attempt := 0; ; attempt++ {
		if !p.wait(ctx) {
			return Answer{}, ended(ctx, last)
		}
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, c.timeout)
		answer, err := c.send(limited, b)
		cancel()
		if err == nil {
			p.passed()
			return answer, nil
		}
		if ctx.Err() != nil {
			return Answer{}, ended(ctx, last)
		}
		last = err
		var known TransportError
		if e, ok := errors.AsType[*TransportError](err); ok {
			known = *e
		}
		switch {
		case known.Permanent, known.Suspect && attempt+1 >= maxSuspect:
			p.passed() // whoever refuses is there
			return Answer{}, &refusedError{err}
		case known.Suspect:
			c.retried()
			if !pause(ctx, max(known.RetryAfter, p.backoff(attempt))) {
				return Answer{}, ended(ctx, last)
			}
		default:
			c.retried()
			p.missed(began, known.RetryAfter)
		}
	}
}

// ended says why ctx ended, and why it was still needed.
func ended(ctx context.Context, last error) error {
	if last == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), last)
}

// refusedError is one that another attempt would meet again.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return e.cause.Error() }
func (e *refusedError) Unwrap() error { return e.cause }
