package memory

import (
	"slices"
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// topic is a log with its groups and tails. Everything is guarded by
// Server.mu.
type topic struct {
	spec   broker.TopicSpec
	log    []entry // consecutive sequences
	first  uint64  // sequence of log[0], or of the next message when empty
	bytes  int64
	ids    map[string]time.Time // when an ID was last stored
	groups map[string]*group
	tails  map[*tail]struct{}

	forgets bool // what is acknowledged goes at once
}

// entry is one stored message.
type entry struct {
	msg    broker.Message
	stored time.Time
	size   int64
}

// group is a cursor with what was handed out beyond it.
type group struct {
	spec     broker.GroupSpec
	next     uint64               // first sequence never handed out
	pending  map[uint64]*lease    // handed out, unsettled
	attempts map[uint64]int       // how often a sequence at or below next was handed out
	again    map[uint64]time.Time // given back: not before
	lost     int64                // removed by retention before it was acknowledged
}

func (t *topic) end() uint64 { return t.first + uint64(len(t.log)) }

func (t *topic) at(seq uint64) *entry {
	if seq < t.first || seq >= t.end() {
		return nil
	}
	return &t.log[seq-t.first]
}

// store appends a copy of m, unless its ID was stored within the window.
func (t *topic) store(m *broker.Message, now time.Time) {
	if m.ID != "" {
		if at, ok := t.ids[m.ID]; ok && now.Sub(at) < t.spec.Dedupe {
			return
		}
		t.ids[m.ID] = now
		t.forget(now)
	}
	c := copied(m)
	e := entry{msg: c, stored: now, size: int64(c.Size())}
	e.msg.Time = broker.TimeOf(c.Headers, c.Time)
	if e.msg.Time.IsZero() {
		e.msg.Time = now
	}
	t.log = append(t.log, e)
	t.bytes += e.size
	for tl := range t.tails {
		tl.Push(t.delivery(t.end()-1, 1))
	}
}

// copied is a deep copy, because the caller may reuse its memory.
func copied(m *broker.Message) broker.Message {
	c := *m
	c.Key, c.Value = slices.Clone(m.Key), slices.Clone(m.Value)
	c.Headers = slices.Clone(m.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = slices.Clone(c.Headers[i].Value)
	}
	return c
}

func (t *topic) delivery(seq uint64, attempt int) broker.Delivery {
	return broker.Delivery{Message: t.at(seq).msg, Attempt: attempt, Lane: "0", Position: strconv.FormatUint(seq, 10)}
}

// floor is the first sequence that a group has not acknowledged which must not
// lose it.
func (t *topic) floor() uint64 {
	floor := t.end()
	for _, g := range t.groups {
		if !g.spec.MayLose {
			floor = min(floor, g.floor())
		}
	}
	return floor
}

// wouldLose reports whether storing size bytes more removes what a group has
// not acknowledged.
func (t *topic) wouldLose(size int64) bool {
	floor := t.floor()
	room := t.spec.MaxBytes - t.bytes
	for seq := t.first; room < size && seq < floor; seq++ {
		room += t.at(seq).size
	}
	return room < size && floor < t.end()
}

// floor is the first sequence that is not acknowledged.
func (g *group) floor() uint64 {
	floor := g.next
	for seq := range g.again {
		floor = min(floor, seq)
	}
	for seq := range g.pending {
		floor = min(floor, seq)
	}
	return floor
}

// trim applies retention and returns how many unread messages each group lost.
func (t *topic) trim(now time.Time) map[string]int64 {
	n := 0
	done := t.first // what is before is acknowledged, and to be forgotten
	if t.forgets {
		done = t.floor()
	}
	for n < len(t.log) {
		old := now.Sub(t.log[n].stored) > t.spec.MaxAge || t.first+uint64(n) < done
		if !old && t.bytes <= t.spec.MaxBytes {
			break
		}
		t.bytes -= t.log[n].size
		n++
	}
	if n == 0 {
		return nil
	}
	t.log = slices.Delete(t.log, 0, n)
	t.first += uint64(n)
	return t.overtaken()
}

// forget drops ids that are out of the window, once in a while.
func (t *topic) forget(now time.Time) {
	if len(t.ids)%4096 != 0 {
		return
	}
	for id, at := range t.ids {
		if now.Sub(at) >= t.spec.Dedupe {
			delete(t.ids, id)
		}
	}
}

// overtaken moves every group past what is gone and counts what it missed.
func (t *topic) overtaken() map[string]int64 {
	var lost map[string]int64
	for name, g := range t.groups {
		var n int64
		if g.next < t.first {
			n = int64(t.first - g.next)
			g.next = t.first
		}
		for seq := range g.again {
			if seq < t.first {
				delete(g.again, seq)
				delete(g.attempts, seq)
				n++
			}
		}
		if n > 0 {
			if lost == nil {
				lost = map[string]int64{}
			}
			lost[name] = n
			g.lost += n
		}
	}
	return lost
}

// available is the next sequence to hand out, or 0 and when to look again
// (zero: when something changes).
func (t *topic) available(g *group, now time.Time) (seq uint64, again time.Time) {
	if len(g.pending) >= g.spec.MaxInFlight {
		return 0, again
	}
	for s, at := range g.again {
		switch {
		case at.After(now):
			if again.IsZero() || at.Before(again) {
				again = at
			}
		case seq == 0 || s < seq:
			seq = s
		}
	}
	if seq == 0 && g.next < t.end() {
		seq = g.next
	}
	return seq, again
}

// take hands a sequence that is available to a lease.
func (t *topic) take(g *group, l *lease, seq uint64) broker.Delivery {
	delete(g.again, seq)
	g.next = max(g.next, seq+1)
	g.attempts[seq]++
	g.pending[seq] = l
	l.seqs = append(l.seqs, seq)
	l.bytes += int(t.at(seq).size)
	return t.delivery(seq, g.attempts[seq])
}

// rewind moves the cursor and forgets everything handed out.
func (g *group) rewind(seq uint64) {
	for _, l := range g.pending {
		l.cancel(broker.ErrLeaseLost)
	}
	clear(g.pending)
	clear(g.again)
	clear(g.attempts)
	g.next = seq
}

// tail is a reader of the end.
type tail struct {
	*broker.TailBuffer
	server *Server
	topic  *topic
}

// Close implements broker.Tail.
func (t *tail) Close() error {
	t.server.mu.Lock()
	delete(t.topic.tails, t)
	t.server.mu.Unlock()
	return t.TailBuffer.Close()
}
