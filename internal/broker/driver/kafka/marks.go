package kafka

import (
	"context"
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// mark is a committed offset, -1 when there is none.
type mark struct {
	offset   int64
	metadata string
}

// marks reads what a group has committed.
func (c *conn) marks(ctx context.Context, gid, topic string, lanes []int) (map[int]mark, error) {
	name := c.target.name(topic)
	res, err := c.sub.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: gid, Topics: map[string][]int{name: lanes}})
	if err == nil {
		err = res.Error
	}
	out := make(map[int]mark, len(lanes))
	if errors.Is(err, kafkago.GroupIdNotFound) {
		for _, id := range lanes {
			out[id] = mark{offset: -1}
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, p := range res.Topics[name] {
		if p.Error != nil {
			return nil, p.Error
		}
		out[p.Partition] = mark{p.CommittedOffset, p.Metadata}
	}
	if len(out) != len(lanes) {
		return nil, fmt.Errorf("%w: %d of %d offsets answered", broker.ErrUnavailable, len(out), len(lanes))
	}
	return out, nil
}

// exists reports whether anything was committed.
func exists(marks map[int]mark) bool {
	for _, m := range marks {
		if m.offset >= 0 {
			return true
		}
	}
	return false
}

// commitOffsets commits, and returns the first error there is.
func (c *conn) commitOffsets(ctx context.Context, req *kafkago.OffsetCommitRequest) error {
	res, err := c.sub.OffsetCommit(ctx, req)
	if err != nil {
		return err
	}
	for _, partitions := range res.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return p.Error
			}
		}
	}
	return nil
}

// place commits offsets for a group without members.
func (c *conn) place(ctx context.Context, topic, gid string, list []kafkago.OffsetCommit) error {
	return c.commitOffsets(ctx, &kafkago.OffsetCommitRequest{
		GroupID: gid, GenerationID: -1,
		Topics: map[string][]kafkago.OffsetCommit{c.target.name(topic): list},
	})
}
