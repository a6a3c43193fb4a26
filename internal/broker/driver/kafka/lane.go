package kafka

import (
	"slices"
	"strconv"
	"time"
)

// lane is one partition in the hands of a session.
type lane struct {
	id      int
	name    string
	suspect int64 // deliveries before this offset are put on record first

	// Guarded by consumer.mu.
	next    int64   // first offset never delivered
	window  []*slot // delivered, from the oldest unsettled one on, by offset
	dirty   bool    // what is committed is out of date
	waiting []*slot // given back, and not fetched again yet
	ready   []item  // given back, and fetched again

	// What was fetched and not delivered.
	buf     []record
	pos     int64 // where the next fetch begins
	fetched time.Time
	epoch   int           // grows when pos is moved
	more    chan struct{} // capacity 1: buf was used up, or pos was moved
}

// slot is a message that was delivered.
type slot struct {
	lane    *lane
	offset  int64
	attempt int
	key     uint64
	state   slotState
	at      time.Time // with slotWaiting: when it may come again
	lease   *lease    // with slotLeased and slotAcking
}

type slotState uint8

const (
	slotLeased  slotState = iota // with a worker
	slotWaiting                  // given back
	slotReady                    // given back, and fetched again
	slotAcking                   // acknowledged, and not committed yet
	slotDone                     // acknowledged
)

func newLane(id int, next int64) *lane {
	return &lane{id: id, name: strconv.Itoa(id), next: next, pos: next, more: make(chan struct{}, 1)}
}

// frontier is the offset before which everything is acknowledged, by what was
// asked to be acknowledged so far.
func (l *lane) frontier() int64 {
	for _, s := range l.window {
		if s.state != slotAcking && s.state != slotDone {
			return s.offset
		}
	}
	return l.next
}

// push adds a first delivery.
func (l *lane) push(s *slot) {
	l.window = append(l.window, s)
	l.next = max(l.next, s.offset+1)
}

// trim forgets what is before the frontier.
func (l *lane) trim() {
	n := 0
	for n < len(l.window) && l.window[n].state == slotDone {
		n++
	}
	clear(l.window[:n])
	l.window = l.window[n:]
	if len(l.window) == 0 {
		l.window = nil
	}
}

// fill moves what may be delivered into the draft, and reports whether the
// draft is full.
func (l *lane) fill(k *consumer) (full bool) {
	for len(l.ready) > 0 {
		it := l.ready[0]
		size := it.rec.size()
		if !k.room(size) {
			return len(k.draft) > 0
		}
		if it.key != 0 && k.busy[it.key] > 0 {
			break
		}
		k.draft, k.drafted = append(k.draft, it), k.drafted+size
		l.ready = l.ready[1:]
	}
	if len(l.buf) > 0 && time.Since(l.fetched) > stale {
		l.seek(l.undrafted(k))
	}
	base := l.next
	if len(l.window) > 0 {
		base = l.window[0].offset
	}
	for len(l.buf) > 0 {
		r := &l.buf[0]
		size := r.size()
		if !k.room(size) {
			return len(k.draft) > 0
		}
		key := k.hash(l, r.key)
		if r.offset-base >= span || key != 0 && k.busy[key] > 0 {
			return false
		}
		k.draft, k.drafted = append(k.draft, item{lane: l, rec: *r, key: key}), k.drafted+size
		*r = record{}
		l.buf = l.buf[1:]
	}
	l.wake()
	return len(k.draft) >= k.cfg.MaxMessages
}

// undrafted is the first offset that is neither delivered nor in the draft.
func (l *lane) undrafted(k *consumer) int64 {
	next := l.next
	for i := range k.draft {
		if it := &k.draft[i]; it.lane == l && it.slot == nil {
			next = it.rec.offset + 1
		}
	}
	return next
}

// seek drops what was fetched, and fetches from an offset.
func (l *lane) seek(offset int64) {
	l.buf, l.pos = nil, offset
	l.epoch++
	l.wake()
}

// wake lets the lane's reader look again.
func (l *lane) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// state describes the lane for its commit, whose offset is the frontier.
// included are the slots whose acknowledgement it has.
func (l *lane) state(open bool) (frontier int64, st state, included []*slot) {
	frontier = l.frontier()
	st = state{open: open, attempts: map[int]int{}}
	st.settled = make([]bool, min(max(l.next-frontier, 0), span))
	for i := range st.settled {
		st.settled[i] = true // gaps in the offsets are nobody's work
	}
	for _, s := range l.window {
		if s.state == slotAcking {
			included = append(included, s)
		}
		i := s.offset - frontier
		if s.state == slotAcking || s.state == slotDone || i < 0 || i >= int64(len(st.settled)) {
			continue
		}
		st.settled[i] = false
		if s.attempt > 1 {
			st.attempts[int(i)] = s.attempt
		}
		if s.state != slotLeased {
			st.waiting++
		}
	}
	return frontier, st, included
}

// restore makes the lane what its last owner left.
func (l *lane) restore(frontier int64, st state, now time.Time) {
	l.next = frontier + int64(len(st.settled))
	l.pos = l.next
	for i, settled := range st.settled {
		if settled {
			continue
		}
		s := &slot{lane: l, offset: frontier + int64(i), attempt: max(st.attempts[i], 1), state: slotWaiting, at: now}
		l.window, l.waiting = append(l.window, s), append(l.waiting, s)
	}
	if st.open {
		l.suspect = frontier + span
	}
}

// due is the first slot by offset that may come again, or else when the next
// may.
func (l *lane) due(now time.Time) (first *slot, next time.Time) {
	if len(l.ready) > 0 {
		return nil, next // one lot after the other
	}
	for _, s := range l.waiting {
		switch {
		case !s.at.After(now):
			if first == nil || s.offset < first.offset {
				first = s
			}
		case next.IsZero() || s.at.Before(next):
			next = s.at
		}
	}
	return first, next
}

// found moves the slots that may come again and are among the records from
// waiting to ready. Those that should be and are not were removed: it marks
// them done and returns how many.
func (l *lane) found(k *consumer, rs []record, from, to int64, now time.Time) (gone int) {
	l.waiting = slices.DeleteFunc(l.waiting, func(s *slot) bool {
		if s.offset < from || s.offset >= to || s.at.After(now) {
			return false
		}
		i, ok := slices.BinarySearchFunc(rs, s.offset, func(r record, o int64) int { return int(r.offset - o) })
		if !ok {
			s.state, l.dirty = slotDone, true
			gone++
			return true
		}
		s.state, s.key = slotReady, k.hash(l, rs[i].key)
		l.ready = append(l.ready, item{lane: l, slot: s, rec: rs[i], key: s.key})
		return true
	})
	slices.SortFunc(l.ready, func(a, b item) int { return int(a.slot.offset - b.slot.offset) })
	l.trim()
	return gone
}

// position is the Delivery.Position of an offset.
func (l *lane) position(offset int64) string { return l.name + ":" + strconv.FormatInt(offset, 10) }
