package kafka

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
)

// Lag implements broker.Admin. In flight are the messages that workers have put
// on record, which they do within a tenth of a second.
func (a admin) Lag(ctx context.Context, topic, group string) (broker.Lag, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var lag broker.Lag
	err := a.persist(ctx, a.sub, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		lag, err = a.lag(ctx, topic, group)
		return err
	})
	if err != nil {
		return broker.Lag{}, fmt.Errorf("lag of group %q of topic %q: %w", group, topic, classify(err))
	}
	return lag, nil
}

func (a admin) lag(ctx context.Context, topic, group string) (lag broker.Lag, err error) {
	lanes, err := a.lanes(ctx, topic)
	if err != nil {
		return lag, err
	}
	gid := a.target.group(topic, group)
	marks, err := a.marks(ctx, gid, topic, lanes) // before the ends, so that nothing counts as negative
	if err != nil {
		return lag, err
	}
	if !exists(marks) {
		return lag, broker.ErrNoGroup
	}
	where, err := a.offsets(ctx, topic, lanes)
	if err != nil {
		return lag, err
	}
	lag.Known = true
	for id, b := range where {
		one := laneLag(marks[id], b)
		lag.Pending += one.Pending
		lag.InFlight += one.InFlight
		lag.Known = lag.Known && one.Known
		if one.Total() == 0 {
			continue
		}
		at, err := a.storedAt(ctx, topic, gid, id, max(marks[id].offset, b.first))
		if err == nil {
			lag.Oldest = max(lag.Oldest, time.Since(at))
		}
	}
	return lag, nil
}

// laneLag is the lag of one partition.
func laneLag(m mark, b bounds) broker.Lag {
	if m.offset < 0 {
		return broker.Lag{Pending: b.end - b.first, Known: true}
	}
	st, err := frontier.Decode(m.metadata)
	if err != nil {
		st = frontier.State{}
	}
	next := m.offset + int64(len(st.Settled))
	lag := broker.Lag{Pending: max(b.end-max(next, b.first), 0), Known: next <= b.end}
	var unsettled int64
	for i, settled := range st.Settled {
		if !settled && m.offset+int64(i) >= b.first {
			unsettled++
		}
	}
	waiting := unsettled
	if st.Open {
		waiting = min(int64(st.Waiting), unsettled)
	}
	lag.Pending += waiting
	lag.InFlight = unsettled - waiting
	return lag
}

// ages remembers when the oldest messages of groups were stored, because
// asking means to fetch them.
type ages struct {
	mu    sync.Mutex
	known map[string]age // by group and lane
}

type age struct {
	offset int64
	at     time.Time
}

// storedAt is when the first message from an offset on was stored.
func (c *conn) storedAt(ctx context.Context, topic, gid string, lane int, offset int64) (time.Time, error) {
	key := gid + ":" + strconv.Itoa(lane)
	c.ages.mu.Lock()
	got, ok := c.ages.known[key]
	c.ages.mu.Unlock()
	if ok && got.offset == offset {
		return got.at, nil
	}
	h, err := c.fetch(ctx, place{topic: topic, lane: lane, offset: offset}, 1, time.Millisecond)
	if err != nil {
		return time.Time{}, err
	}
	if len(h.records) == 0 {
		return time.Time{}, errNothing
	}
	c.ages.mu.Lock()
	defer c.ages.mu.Unlock()
	if c.ages.known == nil {
		c.ages.known = map[string]age{}
	}
	c.ages.known[key] = age{offset, h.records[0].time}
	return h.records[0].time, nil
}
