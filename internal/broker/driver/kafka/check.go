package kafka

import (
	"context"
	"fmt"
)

// Check implements broker.Admin.
func (a admin) Check(ctx context.Context, topic string, groups ...string) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if _, err := a.partitions(ctx, topic); err != nil {
		return fmt.Errorf("topic %q: %w", topic, classify(err))
	}
	for _, group := range groups {
		if _, err := a.Lag(ctx, topic, group); err != nil {
			return err
		}
	}
	return nil
}
