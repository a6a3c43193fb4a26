package redis

import (
	"context"
	"fmt"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Check implements broker.Admin.
func (a admin) Check(ctx context.Context, topic string, groups ...string) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	n, err := a.pub.Exists(ctx, a.keys(topic)...).Result()
	if err = a.link.observe(err); err == nil && n < int64(len(a.keys(topic))) {
		err = broker.ErrUnroutable
	}
	if err != nil {
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	for _, group := range groups {
		if _, err := a.Lag(ctx, topic, group); err != nil {
			return err
		}
	}
	return nil
}
