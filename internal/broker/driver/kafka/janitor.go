package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const cleanEvery = 10 * time.Second

// clean removes what every group has read from topics that hold more than their
// limit, which Kafka, whose own limit nobody reaches, does not. It looks at the
// topics that are used here and that EnsureTopic told us of: where somebody else
// provisions, somebody else cleans up. Of topics that are to forget it removes all
// that was read, every time.
func (c *conn) clean() {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.life.Done():
			return
		}
		c.gates.Range(func(topic, v any) bool {
			g := v.(*gate) //nolint:forcetypeassert // nothing else is stored
			g.mu.Lock()
			used := g.used
			g.used = false
			g.mu.Unlock()
			_, told := c.told.Load(topic)
			if (used && told || g.forget.Load()) && c.link.err() == nil {
				if err := g.clean(c.life); err != nil && c.life.Err() == nil {
					c.cfg.Log.Warn("cannot remove what was read", "topic", topic, "err", err)
				}
			}
			return c.life.Err() == nil
		})
	}
}

// clean removes what was read from the topic, if it holds too much.
func (g *gate) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	lanes, limit, err := g.limit(ctx)
	if err != nil || limit <= 0 && !g.forget.Load() {
		return err
	}
	where, err := g.conn.offsets(ctx, g.topic, lanes)
	if err != nil {
		return err
	}
	var stored int64
	for _, b := range where {
		stored += b.end - b.first
	}
	g.mu.Lock()
	size := g.sizes.times(stored)
	g.mu.Unlock()
	full := limit > 0 && size > limit
	if !full && !g.forget.Load() {
		return nil
	}
	read, owned, err := g.slowest(ctx, lanes) // after the ends: a group that is made meanwhile begins behind them
	if err != nil || !owned {
		return err
	}
	for lane, b := range where {
		to, ok := read[lane]
		if !ok && !full {
			continue
		}
		if !ok { // who reads it may lose it: the half that is newer stays
			to = b.end - int64(float64(b.end-b.first)*float64(limit)/float64(2*size))
		}
		if to = min(to, b.end); to > b.first {
			if err := g.conn.deleteRecords(ctx, g.topic, lane, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteRecords removes the messages of a partition before an offset.
func (c *conn) deleteRecords(ctx context.Context, topic string, lane int, before int64) error {
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = int32(lane), before //nolint:gosec // a partition's number
	one := kmsg.NewDeleteRecordsRequestTopic()
	one.Topic, one.Partitions = c.target.name(topic), []kmsg.DeleteRecordsRequestTopicPartition{part}
	ask := kmsg.NewPtrDeleteRecordsRequest()
	ask.Version, ask.TimeoutMillis = 1, int32(requestTimeout.Milliseconds())
	ask.Topics = []kmsg.DeleteRecordsRequestTopic{one}
	res, err := c.exchange(ctx, c.pub, &exchange{req: ask, lead: leader(one.Topic, lane), wait: requestTimeout})
	if err != nil {
		return err
	}
	for _, t := range res.(*kmsg.DeleteRecordsResponse).Topics { //nolint:forcetypeassert // it is the request's
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return code(p.ErrorCode)
			}
		}
	}
	return nil
}
