package kafka

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// Kafka refuses nothing for a backlog: at retention.bytes it deletes the oldest
// messages, read or not. So that limit is put where nobody gets (see headroom),
// and the limit that TopicSpec.MaxBytes names is kept at the door, by every
// publisher for itself: it looks at what the slowest group has to read, and
// publishes no more than a share of the room it saw before it looks again. No
// burst is too fast for that. What others publish at the same time is what the
// share is for; were they more than shares, or strangers, the topic grows past
// its limit, and nothing is lost.
const (
	shares    = 8                      // publishing processes that may take the room at once
	lookEvery = time.Second            // at a topic in use
	lookAgain = 100 * time.Millisecond // at one that is full
	listEvery = 10 * time.Second       // groups, of which there are seldom more
	slack     = 64                     // a topic is full when less than this part of it is free
)

// gate is the door to a topic. It is safe for concurrent use.
type gate struct {
	conn  *conn
	topic string

	forget atomic.Bool // what was read goes at once

	mu   sync.Mutex    // not held while the brokers are asked; consumer.mu may be held, and is never taken under it
	used bool          // since the janitor came by
	look chan struct{} // of the look under way, closed when it ends; nil when there is none
	at   time.Time     // when the last look ended
	room room          // as it was seen then
	saw  bool          // there was a look that saw something
	err  error         // why the last look saw nothing
	full bool

	// Bytes admitted, and of these landed, so far. What had not landed when the
	// last look began, it may not have seen: all but before.
	admitted, landed, before int64

	sizes  average
	groups []string  // as the brokers listed them; replaced, never changed
	listed time.Time // when
}

// room is what a look sees. A limit that is not positive is none.
type room struct{ limit, backlog int64 }

// free is the room that is left when unseen bytes take theirs.
func (r room) free(unseen int64) int64 {
	if r.limit <= 0 {
		return math.MaxInt64
	}
	return r.limit - r.backlog - unseen
}

// average is the size of a message of late.
type average struct{ bytes, messages int64 }

func (a *average) add(bytes, messages int64) {
	const late = 4096
	if a.bytes, a.messages = a.bytes+bytes, a.messages+messages; a.messages > late {
		a.bytes, a.messages = a.bytes/2, a.messages/2
	}
}

// times is what n messages weigh.
func (a *average) times(n int64) int64 {
	if a.messages == 0 {
		return 0
	}
	return int64(float64(a.bytes) / float64(a.messages) * float64(n))
}

func (c *conn) gate(topic string) *gate {
	v, ok := c.gates.Load(topic)
	if !ok {
		v, _ = c.gates.LoadOrStore(topic, &gate{conn: c, topic: topic})
	}
	return v.(*gate) //nolint:forcetypeassert // nothing else is stored
}

// seen notes messages that passed, in either direction.
func (g *gate) seen(bytes, messages int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used = true
	g.sizes.add(bytes, messages)
}

// admit returns nil when n more bytes have room, and connect.ErrFull when not. What is
// admitted must land when its fate is known.
func (g *gate) admit(ctx context.Context, n int64) error {
	called := time.Now()
	for {
		g.mu.Lock()
		decided, err := g.decide(n, called) //nolint:contextcheck // a look serves all who wait, and outlives this one
		if decided {
			if err == nil {
				g.admitted += n
			}
			g.mu.Unlock()
			return err
		}
		look := g.start() //nolint:contextcheck // likewise
		g.mu.Unlock()
		select {
		case <-look:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", broker.ErrUnavailable, ctx.Err())
		}
	}
}

// land takes n bytes back that were admitted.
func (g *gate) land(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.landed += n
}

// decide decides about n bytes, unless that takes a new look; g.mu is held.
func (g *gate) decide(n int64, called time.Time) (decided bool, err error) {
	age, unseen := time.Since(g.at), g.admitted-g.before
	ours := g.room.limit <= 0 || g.room.free(0)/shares >= unseen+n
	if ours && age < 2*lookEvery && g.saw {
		if age > lookEvery {
			g.start() // the next one finds it ready
		}
		return true, nil
	}
	if looked := g.at.After(called); !looked && (!g.full || age > lookAgain) {
		return false, nil
	}
	switch {
	case g.err != nil && ours && g.saw:
		return true, nil // there was room when we last saw
	case g.err != nil:
		return true, classify(g.err)
	case g.room.free(unseen) >= n+g.room.limit/slack, g.room.backlog+unseen == 0: // an empty topic takes anything, or what is larger than it never went
		g.setFull(false)
		return true, nil
	}
	g.setFull(true)
	return true, connect.ErrFull
}

func (g *gate) setFull(full bool) {
	if full != g.full {
		g.conn.cfg.Log.Warn("backlog of a topic", "topic", g.topic, "refuse", full,
			"backlog_bytes", g.room.backlog, "max_bytes", g.room.limit)
	}
	g.full = full
}

// start starts a look, unless one is under way; g.mu is held.
func (g *gate) start() <-chan struct{} {
	if g.look != nil {
		return g.look
	}
	// What has landed by now is in whatever the look sees; what lands later may be.
	done, landed := make(chan struct{}), g.landed
	g.look = done
	go func() { // ends with the connection
		ctx, cancel := context.WithTimeout(g.conn.life, requestTimeout)
		defer cancel()
		saw, err := g.see(ctx)
		if isDenied(err) { // who may not ask has no limit that we could keep
			saw, err = room{}, nil
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.at, g.err, g.look = time.Now(), err, nil
		if err == nil {
			g.room, g.before, g.saw = saw, landed, true
		}
		close(done)
	}()
	return done
}

// see asks for the limit, and for what the slowest group has to read.
func (g *gate) see(ctx context.Context) (room, error) {
	lanes, limit, err := g.limit(ctx)
	if err != nil || limit <= 0 {
		return room{}, err
	}
	unread, err := g.unread(ctx, lanes)
	if err != nil {
		return room{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return room{limit: limit, backlog: g.sizes.times(unread)}, nil
}

// limit is what the topic may hold, not positive if that is not bounded.
func (g *gate) limit(ctx context.Context) (lanes []int, limit int64, err error) {
	k, err := g.conn.topic(ctx, g.topic)
	if err != nil {
		return nil, 0, err
	}
	lanes, err = g.conn.lanes(ctx, g.topic)
	if err != nil {
		return nil, 0, err
	}
	var told int64
	if v, ok := g.conn.told.Load(g.topic); ok {
		told = v.(int64) //nolint:forcetypeassert // nothing else is stored
	}
	return lanes, limitOf(k.retention, len(lanes), told), nil
}

// headroom is how much more than its limit a topic may hold before Kafka deletes
// what nobody has read: more than a disk has. It is not without a bound so that
// a process that was not told a topic's limit finds it there.
const headroom = 1024

// limitOf is the limit of a topic of which each partition keeps retention bytes.
// told is what we were told, 0 for nothing; where somebody else made the topic
// we keep well away from where its oldest messages go.
func limitOf(retention int64, lanes int, told int64) int64 {
	switch kept := retention * int64(lanes); {
	case retention <= 0:
		return told
	case told > 0:
		return min(told, kept/2)
	default:
		return kept / headroom
	}
}

// unread is how many messages the slowest group has to read. Where there is no
// group it is all there are: somebody may have deleted one that will be made
// anew.
func (g *gate) unread(ctx context.Context, lanes []int) (n int64, err error) {
	slowest, owned, err := g.slowest(ctx, lanes) // before the ends, so that nothing counts as negative
	if err != nil {
		return 0, err
	}
	if !owned {
		where, err := g.conn.offsets(ctx, g.topic, lanes)
		for _, b := range where {
			n += b.end - b.first
		}
		return n, err
	}
	ends, err := g.conn.ends(ctx, g.topic, lanes)
	for lane, end := range ends {
		if at, ok := slowest[lane]; ok {
			n += max(end-at, 0)
		}
	}
	return n, err
}

// slowest are the offsets before which every group is done that must not lose
// anything; lanes are missing when there is no such group. owned says that there
// is a group at all.
func (g *gate) slowest(ctx context.Context, lanes []int) (out map[int]int64, owned bool, err error) {
	groups, err := g.readers(ctx)
	if err != nil {
		return nil, false, err
	}
	out = map[int]int64{}
	for _, name := range groups {
		marks, err := g.conn.marks(ctx, g.conn.target.group(g.topic, name), g.topic, lanes)
		if err != nil {
			return nil, false, err
		}
		if !exists(marks) {
			continue // it reads another topic, or was deleted
		}
		if owned = true; g.conn.group(g.topic, name).MayLose {
			continue
		}
		for lane, m := range marks {
			if at, ok := out[lane]; !ok || m.offset < at {
				out[lane] = max(m.offset, 0)
			}
		}
	}
	return out, owned, nil
}

// readers are the groups of the topic: those that the brokers list, and those
// that this process was told of, whose coordinator may be away.
func (g *gate) readers(ctx context.Context) ([]string, error) {
	g.mu.Lock()
	list, fresh := g.groups, time.Since(g.listed) < listEvery
	g.mu.Unlock()
	if !fresh {
		res, err := g.conn.pub.ListGroups(ctx, &kafkago.ListGroupsRequest{})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return nil, err
		}
		list = nil
		for _, one := range res.Groups {
			name, ok := strings.CutPrefix(one.GroupID, g.conn.target.group(g.topic, ""))
			if ok && broker.ValidGroup(name) == nil {
				list = append(list, name)
			}
		}
		g.mu.Lock()
		g.groups, g.listed = list, time.Now()
		g.mu.Unlock()
	}
	names := map[string]bool{}
	for _, name := range list {
		names[name] = true
	}
	g.conn.groups.Range(func(_, v any) bool {
		if spec := v.(broker.GroupSpec); spec.Topic == g.topic { //nolint:forcetypeassert // nothing else is stored
			names[spec.Name] = true
		}
		return true
	})
	return slices.Sorted(maps.Keys(names)), nil
}
