// Package frontier keeps the books of one partition in the hands of one worker.
// Kafka remembers one offset per partition and group, before which all is done.
// Workers settle in any order, give messages back and die; what that takes
// beside the one offset is kept here and written beside it (State).
//
// It is bookkeeping and nothing else: no clock, no lock, no goroutine, no Kafka.
// Callers say what time it is, and call one method of a Lane at a time.
package frontier

import (
	"slices"
	"time"
)

// Span bounds how far the newest delivery may be from the oldest message that is
// not settled.
const Span = 16 << 10

// Message is one that was delivered at least once. Its life is
//
//	             ┌─────────────── Return ──────────────┐
//	             ▼                                     │
//	Deliver ▶ held ── Ack ──▶ acking ── Committed ──▶ done
//	             ▲ └─ Return ─▶ returned ─ Find ─▶ found ┐
//	             └───────────────── Redeliver ───────────┘
//
// An acknowledgement is done only when it is committed: until then the message
// is not before the frontier, and a failed commit can take it back (Unack).
type Message struct {
	// Offset and Key are set by who delivers it. Messages of one key, other than
	// 0, are with one worker at a time.
	Offset int64
	Key    uint64
	// Attempt counts its deliveries, also those by earlier owners of the lane.
	Attempt int

	state state
	due   time.Time // when it may come again, if returned
}

type state uint8

const (
	held     state = iota // with a worker
	acking                // acknowledged, and not committed yet
	returned              // given back, and to be fetched again
	found                 // fetched again
	done
	gone // of a topic that is no more
)

// Lane is one partition. Make it with New or Restore.
type Lane struct {
	next     int64          // the first offset never delivered
	window   []*Message     // delivered, from the oldest that is not done on, by offset
	returned []*Message     // those of window in that state, in no order
	found    int            // how many of window are in that state
	busy     map[uint64]int // keys that workers have: messages held or acking, of each
	changed  bool           // since the last Snapshot
}

// New is a lane of which all before next is done.
func New(next int64) *Lane { return &Lane{next: next, busy: map[uint64]int{}} }

// Restore is what an earlier owner left: all it had delivered and not committed
// is returned, and may come again now.
func Restore(frontier int64, s State, now time.Time) *Lane {
	l := New(frontier + int64(len(s.Settled)))
	for i, settled := range s.Settled {
		if settled {
			continue
		}
		m := &Message{Offset: frontier + int64(i), Attempt: max(s.Attempts[i], 1), state: returned, due: now}
		l.window, l.returned = append(l.window, m), append(l.returned, m)
	}
	l.changed = true // that it is ours is not on record yet
	return l
}

// Next is the first offset never delivered.
func (l *Lane) Next() int64 { return l.next }

// Room reports whether an offset is near enough to the oldest message that is
// not done to be delivered.
func (l *Lane) Room(offset int64) bool {
	base := l.next
	if len(l.window) > 0 {
		base = l.window[0].Offset
	}
	return offset-base < Span
}

// Busy reports whether a worker has messages of a key.
func (l *Lane) Busy(key uint64) bool { return key != 0 && l.busy[key] > 0 }

// Changed reports whether there is something to commit.
func (l *Lane) Changed() bool { return l.changed }

// Touch makes it so.
func (l *Lane) Touch() { l.changed = true }

// Deliver gives a worker a message for the first time. Offsets only grow.
func (l *Lane) Deliver(m *Message) {
	l.window = append(l.window, m)
	l.next = m.Offset + 1
	l.hold(m)
}

// Redeliver gives a worker a message that was found.
func (l *Lane) Redeliver(m *Message) {
	if m.state == found {
		l.found--
		l.hold(m)
	}
}

func (l *Lane) hold(m *Message) {
	m.state, l.changed = held, true
	m.Attempt++
	if m.Key != 0 {
		l.busy[m.Key]++
	}
}

// release takes a message from its worker.
func (l *Lane) release(m *Message, to state) {
	m.state = to
	if m.Key == 0 {
		return
	}
	if l.busy[m.Key]--; l.busy[m.Key] <= 0 {
		delete(l.busy, m.Key)
	}
}

// Ack notes that a worker is done with a message, and Unack that this could not
// be committed.
func (l *Lane) Ack(m *Message) { l.turn(m, held, acking) }

// Unack takes an acknowledgement back. It returns false when there is none to
// take back: a later commit took it along after all.
func (l *Lane) Unack(m *Message) bool { return l.turn(m, acking, held) }

func (l *Lane) turn(m *Message, from, to state) bool {
	if m.state != from {
		return false
	}
	m.state, l.changed = to, true
	return true
}

// Return gives back a message that a worker holds, to come again at due. What
// is not held stays as it is.
func (l *Lane) Return(m *Message, due time.Time) {
	if m.state != held {
		return
	}
	l.release(m, returned)
	m.due, l.changed = due, true
	l.returned = append(l.returned, m)
}

// Undeliver is Return for what the worker never saw: it counts as no attempt.
func (l *Lane) Undeliver(m *Message, due time.Time) {
	if m.state == held {
		m.Attempt--
		l.Return(m, due)
	}
}

// Due is the first message by offset that may come again, nil if none may; then
// next is when one may, zero if there is none. One lot is found and delivered
// before the next is due.
func (l *Lane) Due(now time.Time) (first *Message, next time.Time) {
	if l.found > 0 {
		return nil, next
	}
	for _, m := range l.returned {
		switch {
		case !m.due.After(now):
			if first == nil || m.Offset < first.Offset {
				first = m
			}
		case next.IsZero() || m.due.Before(next):
			next = m.due
		}
	}
	return first, next
}

// Find goes through the messages that may come again with offsets from from to
// before to. key says whether the partition still has one, and its key. Those
// that it has are returned by offset, found; the others are done, and counted.
func (l *Lane) Find(from, to int64, now time.Time, key func(offset int64) (uint64, bool)) (again []*Message, missing int64) {
	l.returned = slices.DeleteFunc(l.returned, func(m *Message) bool {
		if m.Offset < from || m.Offset >= to || m.due.After(now) {
			return false
		}
		k, ok := key(m.Offset)
		if !ok {
			m.state, l.changed = done, true
			missing++
			return true
		}
		m.state, m.Key = found, k
		again = append(again, m)
		return true
	})
	slices.SortFunc(again, func(a, b *Message) int { return int(a.Offset - b.Offset) })
	l.found += len(again)
	l.trim()
	return again, missing
}

// Lose makes what was found returned again: the copy that was fetched is away.
func (l *Lane) Lose(m *Message) {
	if m.state == found {
		l.found--
		m.state = returned
		l.returned = append(l.returned, m)
	}
}

// Skip notes that there is nothing to deliver before to.
func (l *Lane) Skip(to int64) {
	if to > l.next {
		l.next, l.changed = to, true
	}
}

// Frontier is the offset before which all is acknowledged, by what was asked to
// be acknowledged so far.
func (l *Lane) Frontier() int64 {
	for _, m := range l.window {
		if m.state != acking && m.state != done {
			return m.Offset
		}
	}
	return l.next
}

// Snapshot is what to commit: the frontier and the state beside it. acked are
// the acknowledgements it carries, for Committed.
func (l *Lane) Snapshot() (frontier int64, s State, acked []*Message) {
	l.changed = false
	frontier = l.Frontier()
	s.Attempts = map[int]int{}
	s.Settled = make([]bool, min(max(l.next-frontier, 0), Span))
	for i := range s.Settled {
		s.Settled[i] = true // gaps in the offsets are nobody's work
	}
	for _, m := range l.window {
		if m.state == acking {
			acked = append(acked, m)
		}
		i := m.Offset - frontier
		if m.state == acking || m.state == done || i < 0 || i >= int64(len(s.Settled)) {
			continue
		}
		s.Settled[i] = false
		if m.Attempt > 1 {
			s.Attempts[int(i)] = m.Attempt
		}
		if m.state != held {
			s.Waiting++
		}
	}
	return frontier, s, acked
}

// Committed notes that a snapshot is committed. What was acknowledged while it
// was on its way is not part of it.
func (l *Lane) Committed(acked []*Message) {
	for _, m := range acked {
		if m.state == acking {
			l.release(m, done)
		}
	}
	l.trim()
}

// trim forgets what is done before the oldest message that is not.
func (l *Lane) trim() {
	n := 0
	for n < len(l.window) && l.window[n].state == done {
		n++
	}
	clear(l.window[:n])
	l.window = l.window[n:]
	if len(l.window) == 0 {
		l.window = nil
	}
}

// Move goes on at first, where the partition has other messages than before, or
// none that it had: retention was faster, or the topic was made anew. With
// forget, what was delivered is of no meaning any more, whoever has it. Move
// returns how many messages waited to come again and will not.
func (l *Lane) Move(first int64, forget bool) (lost int64) {
	l.next, l.changed = first, true
	if !forget {
		return 0
	}
	for _, m := range l.window {
		if m.state == returned || m.state == found {
			lost++
		}
		m.state = gone
	}
	l.window, l.returned, l.found = nil, nil, 0
	clear(l.busy)
	return lost
}
