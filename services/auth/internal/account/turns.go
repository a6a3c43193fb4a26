package account

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// laneSize callers wait in a lane for their turn; the next is sent away, or
	// somebody who wants more than it.
	laneSize = 128
	// queueSize of them may be of one source.
	queueSize = 4
)

// Place is where somebody stands in line. Those who have proved before who they
// are stand in a lane of their own, which strangers cannot fill; in each lane
// every source has its own queue, and they take turns.
type Place struct {
	// Known is for users that sent back what an earlier login gave them, and for
	// callers that are logged in.
	Known bool
	// Source is who waits: a network, a device, a user.
	Source string
}

// turns gives out a few places at a time, fairly. It is safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	free  int
	lanes [2]lane // of strangers, of the known
	next  int     // the lane whose turn it is
}

type lane struct {
	ring    []*queue // sources that wait, the next one first
	waiting int
}

type queue struct {
	source string
	line   []*turn
}

// turn is one caller that waits; called is closed when it may go on or is sent
// away.
type turn struct {
	called chan struct{}
	sent   bool // away
}

func newTurns(places int) *turns { return &turns{free: places} }

// enter waits for the caller's turn, and gives the function that ends it. It
// gives fault.Exhausted when too many wait.
func (t *turns) enter(ctx context.Context, place Place) (leave func(), err error) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return t.leave, nil
	}
	in := t.lane(place)
	mine, ok := in.join(place.Source)
	t.mu.Unlock()
	if !ok {
		return nil, errBusy()
	}
	select {
	case <-mine.called:
	case <-ctx.Done():
		t.mu.Lock()
		waited := in.drop(mine)
		t.mu.Unlock()
		if waited {
			return nil, ctx.Err()
		}
		<-mine.called // it was called at the same moment
	}
	if mine.sent {
		return nil, errBusy()
	}
	return t.leave, nil
}

func errBusy() error {
	return fault.Exhausted.New("too many are logging in at once").WithReason("LOGIN_BUSY").WithRetryAfter(time.Second)
}

func (t *turns) lane(place Place) *lane {
	if place.Known {
		return &t.lanes[1]
	}
	return &t.lanes[0]
}

// leave hands the place on: to the lanes in turn, and in a lane to its sources
// in turn.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range t.lanes {
		l := &t.lanes[t.next]
		t.next = (t.next + 1) % len(t.lanes)
		if next := l.call(); next != nil {
			close(next.called)
			return
		}
	}
	t.free++
}

// waiting is how many wait.
func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lanes[0].waiting + t.lanes[1].waiting
}

// join stands at the end of the source's queue, if there is room. In a full
// lane room is made by sending away the last of the longest queue, if that is
// longer than the source's own.
func (l *lane) join(source string) (*turn, bool) {
	q := l.of(source)
	if len(q.line) >= queueSize || l.waiting >= laneSize && !l.makeRoom(len(q.line)+1) {
		return nil, false
	}
	mine := &turn{called: make(chan struct{})}
	if len(q.line) == 0 {
		l.ring = append(l.ring, q)
	}
	q.line = append(q.line, mine)
	l.waiting++
	return mine, true
}

func (l *lane) of(source string) *queue {
	for _, q := range l.ring {
		if q.source == source {
			return q
		}
	}
	return &queue{source: source}
}

func (l *lane) makeRoom(than int) bool {
	longest := slices.MaxFunc(l.ring, func(a, b *queue) int { return len(a.line) - len(b.line) })
	if len(longest.line) <= than {
		return false
	}
	last := longest.line[len(longest.line)-1]
	last.sent = true
	l.drop(last)
	close(last.called)
	return true
}

// call takes the first of the source whose turn it is out of the line; nil when
// nobody waits.
func (l *lane) call() *turn {
	if len(l.ring) == 0 {
		return nil
	}
	q := l.ring[0]
	l.ring = l.ring[1:]
	first := q.line[0]
	if q.line = q.line[1:]; len(q.line) > 0 {
		l.ring = append(l.ring, q)
	}
	l.waiting--
	return first
}

// drop takes a turn out of the line, and tells whether it stood in it.
func (l *lane) drop(one *turn) bool {
	for i, q := range l.ring {
		at := slices.Index(q.line, one)
		if at < 0 {
			continue
		}
		if q.line = slices.Delete(q.line, at, at+1); len(q.line) == 0 {
			l.ring = slices.Delete(l.ring, i, i+1)
		}
		l.waiting--
		return true
	}
	return false
}
