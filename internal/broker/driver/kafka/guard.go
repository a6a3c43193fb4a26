package kafka

import (
	"context"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// guard asks for backlogs: at its retention.bytes a partition drops its oldest
// messages, read or not. Its methods are called one at a time.
type guard struct {
	conn   *conn
	groups []groupName
	listed time.Time
}

type groupName struct{ topic, group string }

// seen is what is known about a topic.
type seen struct {
	limit   int64 // bytes of a partition, not positive if unlimited
	read    time.Time
	ends    map[int]int64
	at      time.Time
	fastest float64 // messages per second of the fastest partition, the highest of late
}

const guardRefresh = 10 * time.Second // of what changes seldom

func newGuard(c *conn) *connect.Guard[seen] {
	g := &guard{conn: c}
	return connect.NewGuard(connect.GuardConfig[seen]{
		Away: func() bool { return c.link.err() != nil }, Look: g.look, Log: c.cfg.Log,
	})
}

// look asks how much of a partition the slowest group has left to read, where
// that is most.
func (g *guard) look(ctx context.Context, topic string, t *seen) (b connect.Backlog, err error) {
	k, err := g.conn.topic(ctx, topic)
	if err != nil {
		return b, err
	}
	n := k.messages.Load()
	if n == 0 {
		return b, nil
	}
	if err := g.refresh(ctx, topic, t); err != nil {
		return b, err
	}
	if b.Max = t.limit; b.Max <= 0 {
		return b, nil
	}
	lanes, err := g.conn.lanes(ctx, topic)
	if err != nil {
		return b, err
	}
	backlog, err := g.backlog(ctx, topic, lanes, t)
	if err != nil {
		return b, err
	}
	average, limit := float64(k.bytes.Load())/float64(n), float64(t.limit)
	room := limit - average*float64(backlog)
	b.Bytes = int64(average * float64(backlog))
	b.Full = room < limit/2 && room < 2*average*t.fastest*connect.GuardEvery.Seconds()+limit/50
	return b, nil
}

// refresh reads the topic's limit, and which groups there are.
func (g *guard) refresh(ctx context.Context, topic string, t *seen) error {
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
		id, ours := strings.CutPrefix(one.GroupID, g.conn.target.name(""))
		if dot := strings.LastIndexByte(id, '.'); ours && dot > 0 && broker.ValidGroup(id[dot+1:]) == nil {
			g.groups = append(g.groups, groupName{id[:dot], id[dot+1:]})
		}
	}
	return nil
}

// backlog is how many messages of one partition the slowest group that must
// not lose anything has not acknowledged, in the partition where that is most.
func (g *guard) backlog(ctx context.Context, topic string, lanes []int, t *seen) (most int64, err error) {
	ends, err := g.ends(ctx, topic, lanes, t)
	if err != nil {
		return 0, err
	}
	for _, name := range g.groups {
		if name.topic != topic || g.conn.group(topic, name.group).MayLose {
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
func (g *guard) ends(ctx context.Context, topic string, lanes []int, t *seen) (map[int]int64, error) {
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
