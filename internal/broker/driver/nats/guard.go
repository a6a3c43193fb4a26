package nats

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// guard keeps JetStream from dropping what a group has not read. A stream at
// its MaxBytes drops its oldest messages, read or not; the server can refuse
// new ones instead, but also without regard to what was read. So we look, once
// a second, at the topics we publish to, and refuse to publish while the
// slowest group's backlog is about to fill the stream.
type guard struct {
	conn   *conn
	topics sync.Map // name → *guarded
	cancel context.CancelFunc
	done   chan struct{}
}

// guarded is what the guard knows about a topic.
type guarded struct {
	used atomic.Bool // since the last look
	full atomic.Bool

	// Used by run only.
	seq  uint64
	at   time.Time
	rate float64 // bytes per second, the highest of late
}

const (
	guardEvery   = time.Second
	guardTimeout = 2 * time.Second
)

var errFull = fmt.Errorf("%w: a group's backlog fills the topic", broker.ErrBackpressure)

func newGuard(c *conn) *guard {
	ctx, cancel := context.WithCancel(context.Background())
	g := &guard{conn: c, cancel: cancel, done: make(chan struct{})}
	go g.run(ctx)
	return g
}

// full reports whether publishing to a topic must wait.
func (g *guard) full(topic string) bool {
	v, ok := g.topics.Load(topic)
	if !ok {
		if broker.IsDLQ(topic) {
			return false // dead letters go out of the back: parking must not block
		}
		v, _ = g.topics.LoadOrStore(topic, &guarded{})
	}
	t := v.(*guarded)
	if !t.used.Load() {
		t.used.Store(true)
	}
	return t.full.Load()
}

func (g *guard) close() {
	g.cancel()
	<-g.done
}

func (g *guard) run(ctx context.Context) {
	defer close(g.done)
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		g.topics.Range(func(name, v any) bool {
			t := v.(*guarded)
			if (t.used.Swap(false) || t.full.Load()) && g.conn.pub.nc.IsConnected() {
				g.look(ctx, name.(string), t)
			}
			return ctx.Err() == nil
		})
	}
}

// look decides about one topic. When the server does not answer, the last
// decision stands.
func (g *guard) look(ctx context.Context, topic string, t *guarded) {
	ctx, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	stream, err := g.conn.js.Stream(ctx, g.conn.stream(topic))
	if err != nil {
		return
	}
	info := stream.CachedInfo()
	state, limit := info.State, float64(info.Config.MaxBytes)
	if state.Msgs == 0 {
		t.full.Store(false)
		return
	}
	average := float64(state.Bytes) / float64(state.Msgs)
	now := time.Now()
	if !t.at.IsZero() {
		rate := average * float64(state.LastSeq-min(t.seq, state.LastSeq)) / now.Sub(t.at).Seconds()
		t.rate = max(rate, t.rate*3/4)
	}
	t.seq, t.at = state.LastSeq, now
	if limit <= 0 || float64(state.Bytes) < limit/2 {
		t.full.Store(false)
		return
	}
	floor, ok := slowest(ctx, stream)
	if !ok {
		return
	}
	backlog := average * float64(state.LastSeq-min(floor, state.LastSeq))
	full := backlog+2*t.rate*guardEvery.Seconds()+limit/50 > limit
	if full != t.full.Swap(full) {
		g.conn.cfg.Log.Warn("backlog of a topic", "topic", topic, "refuse", full,
			"backlog_bytes", int64(backlog), "max_bytes", info.Config.MaxBytes)
	}
}

// slowest is up to where every group that must not lose anything has
// acknowledged.
func slowest(ctx context.Context, stream jetstream.Stream) (floor uint64, ok bool) {
	floor = ^uint64(0)
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable == "" || info.Config.Metadata[metaMayLose] == "true" {
			continue
		}
		if info.NumPending+uint64(info.NumAckPending) > 0 {
			floor = min(floor, info.AckFloor.Stream)
		}
	}
	return floor, list.Err() == nil
}
