package kafka

import (
	"context"
	"errors"
	"slices"
	"time"
)

// read keeps a partition's buffer filled: one response at a time.
func (s *session) read(pt *partition) {
	k := s.k
	size := int32(fetchMost)
	for wait := backoff(0); s.ctx.Err() == nil; {
		k.mu.Lock()
		at := place{topic: k.cfg.Topic, id: s.topic, lane: pt.id, offset: pt.pos}
		full, epoch := len(pt.buf) > 0, pt.epoch
		k.mu.Unlock()
		if full {
			select {
			case <-pt.more:
			case <-s.ctx.Done():
			}
			continue
		}
		start := time.Now()
		got, err := k.conn.fetch(s.ctx, at, size, fetchWait)
		if err != nil {
			err = s.astray(pt, at, epoch, err)
		}
		if err != nil {
			s.failed(pt, err, wait)
			wait = wait.next()
			continue
		}
		wait = 0
		size = suited(size, time.Since(start), len(got.records) > 0)
		s.take(pt, got, epoch)
	}
}

// suited is how much to ask for next. What a slow link brings in one answer
// should not take long: it is in no worker's hands until it is there whole.
func suited(size int32, took time.Duration, some bool) int32 {
	switch {
	case took > 2*fetchWait:
		return max(size/2, fetchMin)
	case some && took < fetchWait/2:
		return min(size*2, fetchMost)
	}
	return size
}

// take puts what was fetched where Receive finds it, unless the partition was
// moved meanwhile.
func (s *session) take(pt *partition, got haul, epoch int) {
	k := s.k
	k.mu.Lock()
	if pt.epoch != epoch {
		k.mu.Unlock()
		return
	}
	pt.end = got.end
	size := 0
	for i := range got.records {
		size += got.records[i].size()
	}
	k.gate.seen(int64(size), int64(len(got.records)))
	if got.next > pt.pos {
		pt.buf, pt.pos, pt.fetched = got.records, got.next, time.Now()
		if pt.passed(k); pt.books.Changed() {
			s.touch()
		}
	}
	k.mu.Unlock()
	s.lost(pt.id, got.lost, got.why)
	k.signal()
}

// lost counts messages that no worker will get, and says why.
func (s *session) lost(lane int, n int64, why error) {
	if n <= 0 {
		return
	}
	k := s.k
	k.conn.cfg.Log.Error("messages are lost", "topic", k.cfg.Topic, "group", k.cfg.Group, "lane", lane, "messages", n, "err", why)
	k.conn.cfg.Losses(k.cfg.Topic, k.cfg.Group, n)
}

// failed waits after a failure to read.
func (s *session) failed(pt *partition, err error, wait backoff) {
	if s.ctx.Err() != nil {
		return
	}
	c := s.k.conn
	c.link.doubt(err)
	if isMoved(err) {
		c.sub.refresh()
	}
	if wait == 0 {
		c.cfg.Log.Warn("cannot read, trying on", "topic", s.k.cfg.Topic, "lane", pt.id, "err", err)
	}
	if changed, cause := c.link.state(); cause != nil {
		select {
		case <-changed:
		case <-s.ctx.Done():
		}
		return
	}
	pause(s.ctx, wait.duration())
}

var (
	errAnew  = errors.New("the topic was made anew")
	errAged  = errors.New("retention was faster than the group")
	errShort = errors.New("the partition is shorter than it was")
)

// astray is what to do when a partition does not have what we ask for. It
// returns nil when we go on somewhere else, and the cause when asking again is
// all there is to do.
func (s *session) astray(pt *partition, at place, epoch int, cause error) error {
	if !isUnknownTopic(cause) && !isOutOfRange(cause) {
		return cause
	}
	if at.id != (topicID{}) {
		id, err := s.k.conn.identify(s.ctx, s.k.cfg.Topic)
		if err != nil {
			return err
		}
		if id != at.id {
			s.anew(at.id, id)
			return nil
		}
	}
	if isOutOfRange(cause) {
		return s.outOfRange(pt, at.offset, epoch)
	}
	return cause
}

// anew goes on with the topic that has the name now, at its beginning. Whatever
// was not read of the one before is lost, but for what workers have.
func (s *session) anew(old, id topicID) {
	k := s.k
	k.mu.Lock()
	if s.topic != old { // another partition's reader was faster
		k.mu.Unlock()
		return
	}
	s.topic = id
	s.reset()
	lost := make([]int64, len(s.parts))
	for i, pt := range s.parts {
		lost[i] = max(pt.end-pt.books.Next(), 0)
		lost[i] += pt.books.Move(0, true)
		pt.end = 0
		pt.seek(0)
	}
	s.touch()
	k.mu.Unlock()
	k.conn.cfg.Log.Warn("the topic was made anew", "topic", k.cfg.Topic, "group", k.cfg.Group)
	for i, pt := range s.parts {
		s.lost(pt.id, lost[i], errAnew)
	}
}

// outOfRange goes on where there are messages, when there are none where the
// partition stands: retention was faster than the group, or the partition lost
// its tail, and what is there now may never have been delivered.
func (s *session) outOfRange(pt *partition, pos int64, epoch int) error {
	k := s.k
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	where, err := k.conn.offsets(ctx, k.cfg.Topic, []int{pt.id})
	if err != nil {
		return err
	}
	b := where[pt.id]
	if pos >= b.first && pos <= b.end {
		return nil
	}
	k.mu.Lock()
	if pt.epoch != epoch {
		k.mu.Unlock()
		return nil
	}
	why, lost := errAged, max(b.first-pos, 0)
	short := pos > b.end
	if short {
		why = errShort
		s.reset()
	}
	lost += pt.books.Move(b.first, short)
	pt.seek(b.first)
	s.touch()
	k.mu.Unlock()
	s.lost(pt.id, lost, why)
	return nil
}

// redeliver fetches again what was given back.
func (s *session) redeliver() {
	for fails := backoff(0); s.ctx.Err() == nil; {
		pt, first, next := s.due()
		if pt != nil {
			if err := s.refetch(pt, first); err != nil {
				s.failed(pt, err, fails)
				fails = fails.next()
			} else {
				fails = 0
			}
			continue
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = time.Until(next)
		}
		t := time.NewTimer(wait)
		select {
		case <-s.redo:
		case <-t.C:
		case <-s.ctx.Done():
		}
		t.Stop()
	}
}

// due is the first message that may come again, or when the next may.
func (s *session) due() (due *partition, offset int64, next time.Time) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	now := time.Now()
	for _, pt := range s.parts {
		first, at := pt.books.Due(now)
		if first != nil {
			return pt, first.Offset, next
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return nil, 0, next
}

// refetch fetches what may come again, from an offset on.
func (s *session) refetch(pt *partition, offset int64) error {
	k := s.k
	now := time.Now()
	k.mu.Lock()
	at, epoch := place{topic: k.cfg.Topic, id: s.topic, lane: pt.id, offset: offset}, pt.epoch
	k.mu.Unlock()
	got, err := k.conn.fetch(s.ctx, at, fetchMost, fetchWait)
	if isOutOfRange(err) {
		ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
		defer cancel()
		where, err := k.conn.offsets(ctx, k.cfg.Topic, []int{pt.id})
		if err != nil {
			return err
		}
		got = haul{next: max(where[pt.id].first, offset+1)} // those before are gone
	} else if err != nil {
		return s.astray(pt, at, epoch, err)
	}
	if got.next == offset {
		return errNothing
	}
	k.mu.Lock()
	var missing int64
	if s.topic == at.id {
		missing = s.refound(pt, got, offset, now)
	}
	s.touch()
	k.mu.Unlock()
	s.lost(pt.id, missing, errAged)
	k.signal()
	return nil
}

// refound sorts what was fetched again; consumer.mu is held.
func (s *session) refound(pt *partition, got haul, from int64, now time.Time) (missing int64) {
	find := func(offset int64) (i int, ok bool) {
		return slices.BinarySearchFunc(got.records, offset, func(r record, o int64) int { return int(r.offset - o) })
	}
	again, missing := pt.books.Find(from, got.next, now, func(offset int64) (uint64, bool) {
		i, ok := find(offset)
		if !ok {
			return 0, false
		}
		return s.k.hash(got.records[i].key), true
	})
	for _, m := range again {
		i, _ := find(m.Offset)
		pt.found = append(pt.found, item{part: pt, msg: m, rec: got.records[i], key: m.Key})
	}
	return missing
}

var errNothing = errors.New("the partition answered without the message")
