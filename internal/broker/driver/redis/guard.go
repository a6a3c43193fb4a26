package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// guard applies retention, which Redis has not: about once a second it has a
// script look at every topic that this process has used. Of all processes that
// do so, one does the work, and the others hear the result.
type guard struct {
	conn   *conn
	topics sync.Map // name → *guarded
	cancel context.CancelFunc
	done   chan struct{}
}

// guarded is what the guard knows about a topic.
type guarded struct {
	full   atomic.Bool
	denied bool // it has been logged; used by run only
}

const (
	guardEvery   = time.Second
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
	v, ok := g.topics.Load(topic)
	if !ok {
		v, _ = g.topics.LoadOrStore(topic, &guarded{})
	}
	return v.(*guarded) //nolint:forcetypeassert // nothing else is stored
}

// full reports whether publishing to a topic must wait. Dead letters go out of
// the back: parking must not block.
func (g *guard) full(topic string) bool { return g.watch(topic).full.Load() && !broker.IsDLQ(topic) }

func (g *guard) close() {
	g.cancel()
	<-g.done
}

func (g *guard) run(ctx context.Context) {
	defer close(g.done)
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		changed, err := g.conn.link.state()
		select {
		case <-tick.C:
		case <-changed: // the server may have come back
		case <-ctx.Done():
			return
		}
		if err != nil && g.conn.link.gone() != nil {
			continue
		}
		g.topics.Range(func(name, v any) bool {
			g.look(ctx, name.(string), v.(*guarded)) //nolint:forcetypeassert // nothing else is stored
			return ctx.Err() == nil
		})
	}
}

// look looks after one topic. When the server does not answer, the last
// decision stands.
func (g *guard) look(ctx context.Context, topic string, t *guarded) {
	call, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	dlq := 0
	if broker.IsDLQ(topic) {
		dlq = 1
	}
	out, err := g.conn.list(call, 2, lookScript, topic, dlq, (guardEvery * 9 / 10).Milliseconds())
	if err != nil {
		denied := errors.Is(err, broker.ErrDenied)
		if denied && !t.denied {
			g.conn.cfg.Log.Warn("this user can not look after the retention of a topic, another must", "topic", topic, "err", err)
		}
		t.denied = denied
		return
	}
	if len(out) >= 4 {
		g.recount(ctx, topic, out[2], out[3])
		return
	}
	full := integer(out[0]) == 1
	if full != t.full.Swap(full) {
		g.conn.cfg.Log.Warn("backlog of a topic", "topic", topic, "refuse", full)
	}
	lost, _ := out[1].([]any)
	for i := 0; i+1 < len(lost); i += 2 {
		g.conn.cfg.Losses(topic, text(lost[i]), integer(lost[i+1]))
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
