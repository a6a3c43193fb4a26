package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const adminTimeout = 5 * time.Second

type admin struct{ *conn }

// Names of a topic's settings in its hash; those of a group are JSON in
// "group:<name>". They are on the server because all processes must go by the
// same, and the scripts read them. What is there stays: change it with HSET.
const (
	setMaxAge   = "max_age_ms"
	setMaxBytes = "max_bytes"
)

// groupSettings are what is kept of a GroupSpec.
type groupSettings struct {
	AckWait     int64 `json:"ack_wait_ms"`
	MaxInFlight int   `json:"max_in_flight"`
	MayLose     bool  `json:"may_lose"`
}

// EnsureTopic implements broker.Admin.
func (a admin) EnsureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if err := broker.ValidName(spec.Name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if err := a.ensureTopic(ctx, spec.WithDefaults()); err != nil {
		return fmt.Errorf("ensure topic %q: %w", spec.Name, err)
	}
	a.guard.watch(spec.Name)
	return nil
}

func (a admin) ensureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if spec.Replicas > 1 {
		return fmt.Errorf("%w: %d replicas: those of a Redis server are set up there", broker.ErrUnsupported, spec.Replicas)
	}
	_, err := a.run(ctx, topicScript, spec.Name, setMaxAge, milli(spec.MaxAge), setMaxBytes, spec.MaxBytes)
	return err
}

// milli is a duration as it can be stored.
func milli(d time.Duration) int64 { return max(d.Milliseconds(), 1) }

// EnsureGroup implements broker.Admin.
func (a admin) EnsureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if err := a.ensureGroup(ctx, spec.WithDefaults()); err != nil {
		return fmt.Errorf("ensure group %q of topic %q: %w", spec.Name, spec.Topic, err)
	}
	return nil
}

func (a admin) ensureGroup(ctx context.Context, spec broker.GroupSpec) error {
	set, err := json.Marshal(groupSettings{AckWait: milli(spec.AckWait), MaxInFlight: spec.MaxInFlight, MayLose: spec.MayLose})
	if err != nil {
		return err
	}
	out, err := a.run(ctx, groupScript, spec.Topic, spec.Name, set, spec.Start == broker.Latest)
	if err == nil && integer(out) == 0 {
		return broker.ErrUnroutable
	}
	return err
}

// number is how many entries were ever added up to an id. Nothing tells but
// counting those behind it.
func (c *conn) number(ctx context.Context, topic, id string) (int64, error) {
	var added, behind int64
	for from := "+"; from != ""; {
		out, err := c.list(ctx, 3, countScript, topic, id, from)
		if err != nil {
			return 0, err
		}
		if from == "+" {
			added = integer(out[2])
		}
		behind += integer(out[0])
		from = text(out[1])
	}
	return max(added-behind, 0), nil
}

// Lag implements broker.Admin.
func (a admin) Lag(ctx context.Context, topic, group string) (broker.Lag, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	out, err := a.list(ctx, 4, lagScript, topic, group)
	if err != nil {
		return broker.Lag{}, fmt.Errorf("lag of group %q of topic %q: %w", group, topic, err)
	}
	lag := broker.Lag{Pending: max(integer(out[0]), 0), InFlight: integer(out[2]), Known: integer(out[1]) == 1}
	if id, err := parseID(text(out[3])); err == nil {
		lag.Oldest = max(time.Since(id.time()), 0)
	}
	return lag, nil
}
