package account

import (
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// firstPause follows the first failure that is not free; each further doubles
	// it.
	firstPause = time.Second
	// longestPause bounds it, so that somebody who keeps guessing cannot keep
	// others out for long.
	longestPause = time.Minute
	// throttleSize bounds what is remembered. To push one out takes that many
	// failed logins, each at the cost of a password hash.
	throttleSize = 16384
)

// Patience says how many wrong passwords a Throttle lets pass.
type Patience struct {
	// Free wrong passwords cost nothing but time.
	Free int
	// Forget is how long it takes to forget one.
	Forget time.Duration
	// AtOnce is how many may be tried at a time before any has failed; 0 is no bound.
	AtOnce int
	// Forgive lets a right password make good for the wrong ones. Where others
	// may know one that is right, it does not.
	Forgive bool
}

// Throttle slows down the guessing of passwords, per name or source and process.
// It does not matter to it whether the name exists. It is safe for concurrent
// use.
type Throttle struct {
	patience Patience

	mu  sync.Mutex
	all map[string]*guesses
}

type guesses struct {
	failures int
	running  int
	until    time.Time // nothing is tried before
	last     time.Time // failure, or what is left to forget begins
}

// NewThrottle makes a throttle.
func NewThrottle(patience Patience) *Throttle {
	return &Throttle{patience: patience, all: map[string]*guesses{}}
}

// Try runs check, which tells whether a password was right, unless too many
// were wrong before: then it gives fault.Exhausted with the time to wait, and
// check is not run. An error of check counts neither way.
func (t *Throttle) Try(who string, check func() (bool, error)) (bool, error) {
	if wait := t.enter(who); wait > 0 {
		return false, fault.Exhausted.New("too many failed logins: try again later").
			WithReason("LOGIN_THROTTLED").WithRetryAfter(wait)
	}
	right, err := check()
	t.leave(who, right, err)
	return right, err
}

// Exceeded tells whether who has used up what is free.
func (t *Throttle) Exceeded(who string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.all[who]
	if g == nil {
		return false
	}
	t.forget(g, time.Now())
	return g.failures >= t.patience.Free
}

func (t *Throttle) enter(who string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	g := t.all[who]
	if g == nil {
		g = &guesses{last: now}
		t.makeRoom()
		t.all[who] = g
	}
	t.forget(g, now)
	if wait := g.until.Sub(now); wait > 0 {
		return wait
	}
	// Under suspicion one guess at a time, or a burst would get around the
	// pause.
	if g.failures >= t.patience.Free && g.running > 0 || t.patience.AtOnce > 0 && g.running >= t.patience.AtOnce {
		return firstPause
	}
	g.running++
	return 0
}

// forget takes off the failures that are long ago.
func (t *Throttle) forget(g *guesses, now time.Time) {
	n := min(int(now.Sub(g.last)/t.patience.Forget), g.failures)
	g.failures -= n
	g.last = g.last.Add(time.Duration(n) * t.patience.Forget)
}

func (t *Throttle) leave(who string, right bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.all[who]
	if g == nil {
		return // pushed out meanwhile
	}
	g.running--
	if right && t.patience.Forgive {
		g.failures, g.until = 0, time.Time{}
	}
	if g.failures == 0 && g.running == 0 && (right || err != nil) {
		delete(t.all, who)
	}
	if right || err != nil {
		return
	}
	if g.failures == 0 {
		g.last = time.Now()
	}
	g.failures++
	if over := g.failures - t.patience.Free; over >= 0 {
		g.until = time.Now().Add(min(firstPause<<min(over, 16), longestPause))
	}
}

// makeRoom keeps the map within its bound by forgetting whoever failed longest
// ago. Going through all of them is cheap beside the hash that follows.
func (t *Throttle) makeRoom() {
	if len(t.all) < throttleSize {
		return
	}
	oldest := ""
	for who, g := range t.all {
		if oldest == "" || g.last.Before(t.all[oldest].last) {
			oldest = who
		}
	}
	delete(t.all, oldest)
}

// Size is how many are remembered.
func (t *Throttle) Size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}
