package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Check implements broker.Admin.
func (a admin) Check(ctx context.Context, topic string, groups ...string) error {
	if !a.pub.nc.IsConnected() {
		return a.pub.err()
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	t := a.janitor.topic(topic)
	if _, err := a.js.Stream(ctx, a.stream(topic)); err != nil {
		err = a.classify(err)
		t.gone.Store(errors.Is(err, broker.ErrUnroutable))
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	t.there()
	for _, group := range groups {
		if _, err := a.js.Consumer(ctx, a.stream(topic), group); err != nil {
			return fmt.Errorf("group %q of topic %q: %w", group, topic, a.classify(err))
		}
	}
	return nil
}
