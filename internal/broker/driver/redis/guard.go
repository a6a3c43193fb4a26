package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// guard applies retention, which Redis has not: it has a script look at every
// topic that this process has used. Of all processes that do so, one does the
// work, and the others hear the result.
//
// A topic that is full is shut on the server, so that everybody is refused, also
// producers that this code knows nothing of. It is measured the more often the
// sooner it would be full at the rate at which it grows. What comes between two
// measurements may be too much by that; it is kept.
type guard struct {
	conn   *conn
	topics sync.Map // name → *guarded
	cancel context.CancelFunc
	done   chan struct{}
}

// guarded is what the guard knows about a topic; used by run only, but for forget.
type guarded struct {
	forget atomic.Bool // what is acknowledged goes at once

	next    time.Time     // when to look
	every   time.Duration // how often, at present
	looked  time.Time     // the last time that it was found to have
	bytes   int64         // so many bytes
	shut    bool
	known   bool   // it was all there once
	missing string // what is missing of it by now
	denied  bool   // that we may not look has been logged
}

const (
	guardTick    = 10 * time.Millisecond // looks are no closer than this
	guardMax     = 250 * time.Millisecond
	guardSweep   = time.Second
	guardTimeout = 3 * time.Second
)

func newGuard(c *conn) *guard {
	ctx, cancel := context.WithCancel(context.Background())
	g := &guard{conn: c, cancel: cancel, done: make(chan struct{})}
	go g.run(ctx)
	return g
}

// watch begins to look after a topic.
func (g *guard) watch(topic string) *guarded {
	known, ok := g.topics.Load(topic)
	if !ok {
		known, _ = g.topics.LoadOrStore(topic, &guarded{every: guardMax})
	}
	return known.(*guarded) //nolint:forcetypeassert // nothing else is stored
}

func (g *guard) close() {
	g.cancel()
	<-g.done
}

func (g *guard) run(ctx context.Context) {
	defer close(g.done)
	tick := time.NewTicker(guardTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if g.conn.link.gone() != nil {
			continue
		}
		g.topics.Range(func(name, v any) bool {
			topic, t := name.(string), v.(*guarded) //nolint:forcetypeassert // nothing else is stored
			if now := time.Now(); !now.Before(t.next) {
				g.look(ctx, topic, t)
				t.next = now.Add(t.every)
			}
			return ctx.Err() == nil
		})
	}
}

// look looks after one topic. When the server does not answer, the last
// decision stands, because it is on the server.
func (g *guard) look(ctx context.Context, topic string, t *guarded) {
	call, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	out, err := g.conn.list(call, 7, lookScript, topic, (t.every * 9 / 10).Milliseconds(), guardSweep.Milliseconds(), t.forget.Load())
	if err != nil {
		t.every = guardSweep
		denied := errors.Is(err, broker.ErrDenied)
		if denied && !t.denied {
			g.conn.cfg.Log.Warn("this user can not look after the retention of a topic, another must", "topic", topic, "err", err)
		}
		t.denied = denied
		return
	}
	if len(out) >= 9 {
		g.recount(ctx, topic, out[7], out[8])
		return
	}
	g.tell(topic, t, out)
	t.pace(time.Now(), integer(out[1]), integer(out[2]))
	lost, _ := out[4].([]any)
	for i := 0; i+1 < len(lost); i += 2 {
		g.conn.cfg.Losses(topic, text(lost[i]), integer(lost[i+1]))
	}
}

// tell logs what has changed.
func (g *guard) tell(topic string, t *guarded, out []any) {
	log := g.conn.cfg.Log.With("topic", topic)
	missing := text(out[3])
	t.known = t.known || missing == ""
	if t.known && missing != t.missing {
		t.missing = missing
		if missing == "" {
			log.Info("all of a topic is there again")
		} else {
			log.Error("somebody has deleted what we need of a topic", "missing", missing)
		}
	}
	shut := integer(out[0]) == 1
	if shut == t.shut {
		return
	}
	t.shut = shut
	if !shut {
		log.Info("a topic has room again")
		return
	}
	log = log.With("bytes", integer(out[1]), "max_bytes", integer(out[2]), "group", text(out[5]))
	if id, err := parseID(text(out[6])); err == nil {
		log = log.With("oldest", id.time())
	}
	log.Warn("a topic is full, publishing is refused until the group acknowledges its oldest message")
}

// pace decides how soon to look again: in a quarter of the time that is left
// until the topic is full.
func (t *guarded) pace(now time.Time, bytes, limit int64) {
	grown, took, room := bytes-t.bytes, now.Sub(t.looked), limit-bytes
	t.every, t.looked, t.bytes = guardMax, now, bytes
	if grown > 0 && room > 0 {
		left := time.Duration(float64(took) * float64(room) / float64(grown))
		t.every = min(max(left/4, guardTick), guardMax)
	}
}

// recountTimeout is generous: a backlog of a million messages takes seconds.
const recountTimeout = time.Minute

// recount puts right how many entries the groups of a topic have read, after
// the server came back without knowing.
func (g *guard) recount(ctx context.Context, topic string, life, groups any) {
	ctx, cancel := context.WithTimeout(ctx, recountTimeout)
	defer cancel()
	args := []any{life}
	list, _ := groups.([]any)
	for _, item := range list {
		group, _ := item.([]any)
		if len(group) < 3 { // it never was known
			continue
		}
		n, err := g.conn.number(ctx, topic, text(group[1]))
		if err != nil {
			return // next time
		}
		args = append(args, group[0], n-integer(group[2]))
	}
	if _, err := g.conn.run(ctx, recountScript, topic, args...); err != nil {
		g.conn.cfg.Log.Warn("groups of a topic could not be counted", "topic", topic, "err", err)
	}
}
