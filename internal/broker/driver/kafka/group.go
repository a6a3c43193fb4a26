package kafka

import (
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// EnsureGroup implements broker.Admin. Kafka has no place for what a group has
// beside its offsets: AckWait and MayLose are known to the processes that were
// told here.
func (a admin) EnsureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	if err := broker.ValidName(spec.Topic); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	err := a.persist(ctx, a.sub, func(ctx context.Context) error { return a.ensureGroup(ctx, spec) })
	if err != nil {
		return fmt.Errorf("ensure group %q of topic %q: %w", spec.Name, spec.Topic, classify(err))
	}
	a.groups.Store(a.target.group(spec.Topic, spec.Name), spec.WithDefaults())
	return nil
}

func (a admin) ensureGroup(ctx context.Context, spec broker.GroupSpec) error {
	lanes, err := a.lanes(ctx, spec.Topic)
	if err != nil {
		return err
	}
	gid := a.target.group(spec.Topic, spec.Name)
	marks, err := a.marks(ctx, gid, spec.Topic, lanes)
	if err != nil || exists(marks) {
		return err
	}
	where, err := a.offsets(ctx, spec.Topic, lanes)
	if err != nil {
		return err
	}
	list := make([]kafkago.OffsetCommit, 0, len(where))
	for lane, b := range where {
		c := kafkago.OffsetCommit{Partition: lane, Offset: b.first}
		switch spec.Start {
		case broker.Earliest:
		case broker.Latest:
			c.Offset = b.end
		default:
			return fmt.Errorf("%w: a group begins at the first message retained, or at the end", broker.ErrUnsupported)
		}
		list = append(list, c)
	}
	// Refused when the group has members already, whoever made it.
	if err := a.place(ctx, spec.Topic, gid, list); !is(err, fencedCodes) {
		return err
	}
	return nil
}

// group is what this process was told about a group, and the defaults where
// that is nothing.
func (c *conn) group(topic, name string) broker.GroupSpec {
	if v, ok := c.groups.Load(c.target.group(topic, name)); ok {
		return v.(broker.GroupSpec) //nolint:forcetypeassert // nothing else is stored
	}
	return broker.GroupSpec{Topic: topic, Name: name}.WithDefaults()
}

// groupExists returns nil when a group has committed something, and ErrNoGroup when
// nobody has made it.
func (c *conn) groupExists(ctx context.Context, topic, name string) error {
	return c.persist(ctx, c.sub, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		lanes, err := c.lanes(ctx, topic)
		if err != nil {
			return err
		}
		marks, err := c.marks(ctx, c.target.group(topic, name), topic, lanes)
		if err == nil && !exists(marks) {
			err = fmt.Errorf("%w: %q of topic %q", broker.ErrNoGroup, name, topic)
		}
		return err
	})
}
