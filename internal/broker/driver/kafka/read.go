package kafka

import (
	"context"
	"errors"
	"time"
)

// read keeps a lane's buffer filled: one response at a time.
func (s *session) read(l *lane) {
	k := s.k
	for wait := backoff(0); s.ctx.Err() == nil; {
		k.mu.Lock()
		full, pos, epoch := len(l.buf) > 0, l.pos, l.epoch
		k.mu.Unlock()
		if full {
			select {
			case <-l.more:
			case <-s.ctx.Done():
			}
			continue
		}
		rs, next, err := k.conn.fetch(s.ctx, k.cfg.Topic, l.id, pos, fetchBytes, fetchWait)
		if isOutOfRange(err) {
			err = s.outOfRange(l, pos, epoch)
		}
		if err != nil {
			s.failed(l, err, wait)
			wait = wait.next()
			continue
		}
		wait = 0
		if next == pos {
			continue
		}
		k.mu.Lock()
		if l.epoch == epoch {
			l.buf, l.pos, l.fetched = rs, next, time.Now()
		}
		k.mu.Unlock()
		k.signal()
	}
}

// failed waits after a failure to read.
func (s *session) failed(l *lane, err error, wait backoff) {
	if s.ctx.Err() != nil {
		return
	}
	c := s.k.conn
	c.link.doubt(err)
	if isMoved(err) {
		c.sub.refresh()
	}
	if wait == 0 {
		c.cfg.Log.Warn("cannot read, trying on", "topic", s.k.cfg.Topic, "lane", l.id, "err", err)
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

// outOfRange goes on where there are messages, when there are none where the
// lane stands: retention was faster than the group, or the topic was made anew.
func (s *session) outOfRange(l *lane, pos int64, epoch int) error {
	k := s.k
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	where, err := k.conn.offsets(ctx, k.cfg.Topic, []int{l.id})
	if err != nil {
		return err
	}
	b := where[l.id]
	if pos >= b.first && pos <= b.end {
		return nil
	}
	k.mu.Lock()
	if l.epoch != epoch {
		k.mu.Unlock()
		return nil
	}
	if pos > b.end {
		k.conn.cfg.Log.Warn("the topic was made anew", "topic", k.cfg.Topic, "group", k.cfg.Group, "lane", l.id)
		s.reset()
		l.window, l.waiting, l.ready = nil, nil, nil
	}
	l.next, l.dirty = b.first, true
	l.seek(b.first)
	s.touch()
	k.mu.Unlock()
	k.conn.cfg.Losses(k.cfg.Topic, k.cfg.Group, b.first-pos)
	return nil
}

// redeliver fetches again what was given back.
func (s *session) redeliver() {
	for fails := backoff(0); s.ctx.Err() == nil; {
		l, first, next := s.due()
		if l != nil {
			if err := s.again(l, first); err != nil {
				s.failed(l, err, fails)
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
func (s *session) due() (due *lane, offset int64, next time.Time) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	now := time.Now()
	for _, l := range s.lanes {
		first, at := l.due(now)
		if first != nil {
			return l, first.offset, next
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return nil, 0, next
}

// again fetches what may come again, from an offset on.
func (s *session) again(l *lane, offset int64) error {
	k := s.k
	now := time.Now()
	rs, next, err := k.conn.fetch(s.ctx, k.cfg.Topic, l.id, offset, fetchBytes, fetchWait)
	if isOutOfRange(err) {
		ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
		defer cancel()
		where, err := k.conn.offsets(ctx, k.cfg.Topic, []int{l.id})
		if err != nil {
			return err
		}
		next = max(where[l.id].first, offset+1) // those before are gone
	} else if err != nil {
		return err
	}
	if next == offset {
		return errNothing
	}
	k.mu.Lock()
	gone := l.found(k, rs, offset, next, now)
	s.touch()
	k.mu.Unlock()
	k.conn.cfg.Losses(k.cfg.Topic, k.cfg.Group, int64(gone))
	k.signal()
	return nil
}

var errNothing = errors.New("the partition answered without the message")
