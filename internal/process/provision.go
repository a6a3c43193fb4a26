package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Readers are the groups that read a topic, or the dead letters of one. They
// exist before the first message, so that no message finds nobody to wait for
// it.
func Readers(topic string) []string {
	for _, t := range event.Catalogue() {
		for _, t := range []event.Topic{t, t.DeadLetters()} {
			if t.Name == topic {
				return t.Groups
			}
		}
	}
	return nil
}

// ackWait is how long a message stays with a worker that says nothing: what
// its successor waits for after kill -9. Workers renew it three times as often,
// and an insert takes seconds at the most.
const ackWait = 20 * time.Second

// Provision makes all topics, their dead letters and their groups exist. Every
// service calls it at its start, in any order and at the same time. It waits
// while the broker is away, and returns when ctx ends or something is there
// with other settings.
func (e Env) Provision(ctx context.Context, admin broker.Admin) error {
	if !e.Shared.Broker.Provision {
		return nil
	}
	wait := 100 * time.Millisecond
	for {
		err := e.provision(ctx, admin)
		if err == nil || !errors.Is(err, broker.ErrUnavailable) {
			return err
		}
		e.Log.Warn("broker is away", telemetry.Err(err), slog.Duration("retry_in", wait))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

func (e Env) provision(ctx context.Context, admin broker.Admin) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, topic := range event.Catalogue() {
		for _, t := range []event.Topic{topic, topic.DeadLetters()} {
			err := admin.EnsureTopic(ctx, broker.TopicSpec{
				Name: t.Name, MaxAge: e.Shared.Broker.MaxAge, MaxBytes: int64(e.Shared.Broker.MaxBytes), Replicas: e.Shared.Broker.Replicas,
				Dedupe: dedupe(t),
			})
			if err != nil {
				return fmt.Errorf("provision topic %s: %w", t.Name, err)
			}
			for _, group := range t.Groups {
				if err := e.provisionGroup(ctx, admin, broker.GroupSpec{Topic: t.Name, Name: group, AckWait: ackWait}); err != nil {
					return fmt.Errorf("provision group %s of topic %s: %w", group, t.Name, err)
				}
			}
		}
	}
	return nil
}

// provisionGroup makes a group that has everything the topic retains. Where the
// broker keeps nothing for a group that comes late, as one does that a new
// version brings, the group begins with what is published from now on.
func (e Env) provisionGroup(ctx context.Context, admin broker.Admin, g broker.GroupSpec) error {
	err := admin.EnsureGroup(ctx, g)
	if !errors.Is(err, broker.ErrUnsupported) {
		return err
	}
	e.Log.Warn("the broker keeps nothing for a new group, it begins with what comes now",
		slog.String("topic", g.Topic), slog.String("group", g.Name), telemetry.Err(err))
	g.Start.Place = broker.Latest
	return admin.EnsureGroup(ctx, g)
}

// dedupe is how long a topic takes an id that comes again for the same message:
// not at all where strangers choose ids, and next to not at all for dead
// letters, which are parked again under the id they had.
func dedupe(t event.Topic) time.Duration {
	switch {
	case t.Open:
		return broker.NoDedupe
	case broker.IsDLQ(t.Name):
		return broker.DLQDedupe
	default:
		return 0 // the usual
	}
}
