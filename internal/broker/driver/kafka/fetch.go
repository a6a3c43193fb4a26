package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

const (
	fetchBytes = 2 << 20                // of one response; a larger message comes alone
	fetchWait  = 500 * time.Millisecond // for the first byte
)

// fetch reads from a partition: records from offset on, and the offset to go on
// at. It waits up to wait for the first.
func (c *conn) fetch(ctx context.Context, topic string, lane int, offset, size int64, wait time.Duration) (rs []record, next int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+requestTimeout)
	defer cancel()
	res, err := c.sub.Fetch(ctx, &kafkago.FetchRequest{
		Topic: c.target.name(topic), Partition: lane, Offset: offset, MinBytes: 1, MaxBytes: size, MaxWait: wait,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, offset, err
	}
	var r reader
	rs, next, err = r.records(res.Records, offset)
	if err != nil && len(rs) > 0 {
		err = nil // the next fetch meets it again
	}
	return rs, next, err
}

// bounds are where a partition's messages are: from first to before end.
type bounds struct{ first, end int64 }

// askAtOnce bounds the connections that asking for offsets takes: kafka-go
// sends every question in a request of its own.
const askAtOnce = 4

// listOffsets asks for offsets and shows the answers of each partition.
func (c *conn) listOffsets(ctx context.Context, topic string, ask []kafkago.OffsetRequest, answer func(kafkago.PartitionOffsets)) error {
	name := c.target.name(topic)
	for some := range slices.Chunk(ask, askAtOnce) {
		res, err := c.pub.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{name: some}})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[name] {
			if p.Error != nil {
				return p.Error
			}
			answer(p)
		}
	}
	return nil
}

// offsets reads the bounds of partitions.
func (c *conn) offsets(ctx context.Context, topic string, lanes []int) (map[int]bounds, error) {
	ask := make([]kafkago.OffsetRequest, 0, 2*len(lanes))
	for _, id := range lanes {
		ask = append(ask, kafkago.FirstOffsetOf(id), kafkago.LastOffsetOf(id))
	}
	out := make(map[int]bounds, len(lanes))
	err := c.listOffsets(ctx, topic, ask, func(p kafkago.PartitionOffsets) { out[p.Partition] = bounds{p.FirstOffset, p.LastOffset} })
	return out, err
}

// isOutOfRange reports whether there is nothing at the offset asked for.
func isOutOfRange(err error) bool { return errors.Is(err, kafkago.OffsetOutOfRange) }
