package broker

import (
	"context"
	"time"
)

// DLQDedupe is the dedupe window of a DLQ: the shortest there is, so that a
// message parked again after a redrive is not taken for a duplicate.
const DLQDedupe = 100 * time.Millisecond

// DLQBytes bounds a DLQ. A full one refuses, and what would be parked comes
// again.
const DLQBytes = 256 << 20

// Provision makes a topic, its DLQ and its groups exist. It is idempotent. A DLQ
// keeps messages as long as its topic, and at least DefaultMaxAge.
func Provision(ctx context.Context, admin Admin, topic TopicSpec, groups ...GroupSpec) error {
	if err := admin.EnsureTopic(ctx, topic); err != nil {
		return err
	}
	dlq := TopicSpec{Name: DLQ(topic.Name), MaxBytes: DLQBytes, Replicas: topic.Replicas, Dedupe: DLQDedupe}
	if topic.MaxAge > DefaultMaxAge {
		dlq.MaxAge = topic.MaxAge
	}
	if err := admin.EnsureTopic(ctx, dlq); err != nil {
		return err
	}
	for _, g := range groups {
		g.Topic = topic.Name
		if err := admin.EnsureGroup(ctx, g); err != nil {
			return err
		}
	}
	return nil
}
