package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Bounds of one fetch. A larger message comes alone.
const (
	fetchMin  = 64 << 10
	fetchMost = 2 << 20
	fetchWait = 500 * time.Millisecond // for the first byte
)

// place is where to fetch from.
type place struct {
	topic  string
	id     topicID // zero is whatever has the name
	lane   int
	offset int64
}

// fetch reads from a partition, from at.offset on. It waits up to wait for the
// first message, and for the rest as long as something comes. With an id, the
// broker refuses to read from another topic of that name.
func (c *conn) fetch(ctx context.Context, at place, size int32, wait time.Duration) (haul, error) {
	ask := kmsg.NewPtrFetchRequest()
	ask.Version = fetchWithIDs
	if at.id == (topicID{}) {
		ask.Version = fetchByName
	}
	ask.MaxWaitMillis, ask.MinBytes, ask.MaxBytes = int32(wait.Milliseconds()), 1, size //nolint:gosec // half a second
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = int32(at.lane), at.offset, size //nolint:gosec // a partition's number
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = c.target.name(at.topic), at.id
	topic.Partitions = []kmsg.FetchRequestTopicPartition{part}
	ask.Topics = []kmsg.FetchRequestTopic{topic}

	res, err := c.exchange(ctx, c.sub, &exchange{req: ask, lead: leader(topic.Topic, at.lane), wait: wait})
	if err != nil {
		return haul{next: at.offset}, err
	}
	got := res.(*kmsg.FetchResponse) //nolint:forcetypeassert // it is the request's
	if got.ErrorCode != 0 {
		return haul{next: at.offset}, code(got.ErrorCode)
	}
	if len(got.Topics) == 0 || len(got.Topics[0].Partitions) == 0 {
		return haul{next: at.offset}, broker.ErrUnavailable
	}
	p := got.Topics[0].Partitions[0] // one was asked for
	if p.ErrorCode != 0 {
		return haul{next: at.offset}, code(p.ErrorCode)
	}
	h, err := unpack(p.RecordBatches, at.offset)
	h.end = p.HighWatermark
	return h, err
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

// ends reads where partitions end.
func (c *conn) ends(ctx context.Context, topic string, lanes []int) (map[int]int64, error) {
	ask := make([]kafkago.OffsetRequest, 0, len(lanes))
	for _, id := range lanes {
		ask = append(ask, kafkago.LastOffsetOf(id))
	}
	out := make(map[int]int64, len(lanes))
	return out, c.listOffsets(ctx, topic, ask, func(p kafkago.PartitionOffsets) { out[p.Partition] = p.LastOffset })
}

// isOutOfRange reports whether there is nothing at the offset asked for.
func isOutOfRange(err error) bool { return errors.Is(err, kafkago.OffsetOutOfRange) }
