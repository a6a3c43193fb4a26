package account

import (
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// freeFailures wrong passwords in a row cost nothing but time.
	freeFailures = 5
	// firstPause follows the next one; each further doubles it.
	firstPause = time.Second
	// longestPause bounds it, so that somebody who keeps guessing cannot keep
	// the user out for long.
	longestPause = time.Minute
	// forgetAfter is how long failures are remembered.
	forgetAfter = time.Hour
	// throttleSize bounds the users remembered. To push one out takes that
	// many failed logins, each at the cost of a password hash.
	throttleSize = 16384
)

// Throttle slows down the guessing of passwords, per user and process. It does
// not matter to it whether the user exists. It is safe for concurrent use.
type Throttle struct {
	mu    sync.Mutex
	users map[string]*guesses
}

type guesses struct {
	failures int
	running  int
	until    time.Time // nothing is tried before
	last     time.Time
}

// NewThrottle makes a throttle.
func NewThrottle() *Throttle { return &Throttle{users: map[string]*guesses{}} }

// Try runs check, which tells whether a password was right, unless too many
// were wrong before: then it gives fault.Exhausted with the time to wait, and
// check is not run. An error of check counts neither way.
func (t *Throttle) Try(user string, check func() (bool, error)) (bool, error) {
	if wait := t.enter(user); wait > 0 {
		return false, fault.Exhausted.New("too many wrong passwords: try again later").
			WithReason("LOGIN_THROTTLED").WithRetryAfter(wait)
	}
	right, err := check()
	t.leave(user, right, err)
	return right, err
}

func (t *Throttle) enter(user string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	g := t.users[user]
	if g != nil && now.Sub(g.last) > forgetAfter && g.running == 0 {
		delete(t.users, user)
		g = nil
	}
	if g == nil {
		g = &guesses{last: now}
		t.makeRoom()
		t.users[user] = g
	}
	if wait := g.until.Sub(now); wait > 0 {
		return wait
	}
	// Under suspicion one guess at a time, or a burst would get around the
	// pause.
	if g.failures >= freeFailures && g.running > 0 {
		return firstPause
	}
	g.running++
	return 0
}

func (t *Throttle) leave(user string, right bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.users[user]
	if g == nil {
		return // pushed out meanwhile
	}
	g.running--
	if right {
		g.failures, g.until = 0, time.Time{}
	}
	if g.failures == 0 && g.running == 0 && (right || err != nil) {
		delete(t.users, user)
	}
	if right || err != nil {
		return
	}
	g.failures++
	g.last = time.Now()
	if over := g.failures - freeFailures; over >= 0 {
		g.until = g.last.Add(min(firstPause<<min(over, 16), longestPause))
	}
}

// makeRoom keeps the map within its bound by forgetting whoever failed longest
// ago. Going through all of them is cheap beside the hash that follows.
func (t *Throttle) makeRoom() {
	if len(t.users) < throttleSize {
		return
	}
	oldest := ""
	for user, g := range t.users {
		if oldest == "" || g.last.Before(t.users[oldest].last) {
			oldest = user
		}
	}
	delete(t.users, oldest)
}

// Size is how many users are remembered.
func (t *Throttle) Size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.users)
}
