package kafka

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// guard keeps Kafka from dropping what a group has not read: at its
// retention.bytes a partition drops its oldest messages, read or not. So we
// look, once a second, at the topics we publish to, and refuse to publish while
// the slowest group's backlog is about to fill a partition.
type guard struct {
	conn   *conn
	topics sync.Map // name → *guarded
	cancel context.CancelFunc
	done   chan struct{}

	// Used by run only.
	groups []groupName
	listed time.Time
}

type groupName struct{ topic, group string }

// guarded is what the guard knows about a topic.
type guarded struct {
	used atomic.Bool // since the last look
	full atomic.Bool

	// Used by run only.
	limit   int64 // bytes of a partition, not positive if unlimited
	read    time.Time
	ends    map[int]int64
	at      time.Time
	fastest float64 // messages per second of the fastest partition, the highest of late
}

const (
	guardEvery   = time.Second
	guardRefresh = 10 * time.Second // of what changes seldom
	guardTimeout = 3 * time.Second
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
			if (t.used.Swap(false) || t.full.Load()) && g.conn.link.err() == nil {
				if err := g.look(ctx, name.(string), t); err != nil && ctx.Err() == nil {
					g.conn.cfg.Log.Debug("backlog of a topic is not known", "topic", name, "err", err)
				}
			}
			return ctx.Err() == nil
		})
	}
}

// look decides about one topic. When Kafka does not answer, the last decision
// stands.
func (g *guard) look(ctx context.Context, topic string, t *guarded) error {
	ctx, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	k, err := g.conn.topic(ctx, topic)
	if err != nil {
		return err
	}
	n := k.messages.Load()
	if n == 0 {
		return nil
	}
	if err := g.refresh(ctx, topic, t); err != nil {
		return err
	}
	if t.limit <= 0 {
		t.full.Store(false)
		return nil
	}
	average := float64(k.bytes.Load()) / float64(n)
	lanes, err := g.conn.lanes(ctx, topic)
	if err != nil {
		return err
	}
	backlog, err := g.backlog(ctx, topic, lanes, t)
	if err != nil {
		return err
	}
	room := float64(t.limit) - average*float64(backlog)
	full := room < float64(t.limit)/2 && room < 2*average*t.fastest*guardEvery.Seconds()+float64(t.limit)/50
	if full != t.full.Swap(full) {
		g.conn.cfg.Log.Warn("backlog of a topic", "topic", topic, "refuse", full,
			"backlog_messages", backlog, "backlog_bytes", int64(average*float64(backlog)), "max_bytes", t.limit)
	}
	return nil
}

// refresh reads the topic's limit, and which groups there are.
func (g *guard) refresh(ctx context.Context, topic string, t *guarded) error {
	if time.Since(t.read) > guardRefresh {
		cfg, err := g.conn.topicConfig(ctx, topic)
		if err != nil {
			return err
		}
		t.limit, t.read = value(cfg, configMaxBytes), time.Now()
	}
	if time.Since(g.listed) < guardRefresh {
		return nil
	}
	res, err := g.conn.pub.ListGroups(ctx, &kafkago.ListGroupsRequest{})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return err
	}
	g.groups, g.listed = nil, time.Now()
	for _, one := range res.Groups {
		id, ok := strings.CutSuffix(one.GroupID, settingsSuffix)
		if id, in := strings.CutPrefix(id, g.conn.target.name("")); ok && in {
			if dot := strings.LastIndexByte(id, '.'); dot > 0 {
				g.groups = append(g.groups, groupName{id[:dot], id[dot+1:]})
			}
		}
	}
	return nil
}

// backlog is how many messages of one partition the slowest group that must
// not lose anything has not acknowledged, in the partition where that is most.
func (g *guard) backlog(ctx context.Context, topic string, lanes []int, t *guarded) (most int64, err error) {
	ends, err := g.ends(ctx, topic, lanes, t)
	if err != nil {
		return 0, err
	}
	for _, name := range g.groups {
		if name.topic != topic {
			continue
		}
		cfg, _, err := g.conn.storedSettings(ctx, topic, name.group)
		if err != nil {
			return 0, err
		}
		if cfg.MayLose {
			continue
		}
		marks, err := g.conn.marks(ctx, g.conn.target.group(topic, name.group), topic, lanes)
		if err != nil {
			return 0, err
		}
		for lane, end := range ends {
			most = max(most, end-max(marks[lane].offset, 0))
		}
	}
	return most, nil
}

// ends reads where the partitions end, and how fast they grow.
func (g *guard) ends(ctx context.Context, topic string, lanes []int, t *guarded) (map[int]int64, error) {
	ask := make([]kafkago.OffsetRequest, 0, len(lanes))
	for _, id := range lanes {
		ask = append(ask, kafkago.LastOffsetOf(id))
	}
	ends := make(map[int]int64, len(lanes))
	err := g.conn.listOffsets(ctx, topic, ask, func(p kafkago.PartitionOffsets) { ends[p.Partition] = p.LastOffset })
	if err != nil {
		return nil, err
	}
	now := time.Now()
	fastest := t.fastest * 3 / 4
	for id, end := range ends {
		if before, ok := t.ends[id]; ok {
			fastest = max(fastest, float64(end-before)/now.Sub(t.at).Seconds())
		}
	}
	t.ends, t.at, t.fastest = ends, now, fastest
	return ends, nil
}
