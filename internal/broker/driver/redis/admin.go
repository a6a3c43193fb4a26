package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const adminTimeout = 5 * time.Second

type admin struct{ *conn }

// Names of a topic's settings in its hash; those of a group are JSON in
// "group:<name>". The scripts read them.
const (
	setMaxAge   = "max_age_ms"
	setMaxBytes = "max_bytes"
	setReplicas = "replicas"
	setDedupe   = "dedupe_ms"
	setGroup    = "group:"
)

// groupSettings are what is kept of a GroupSpec.
type groupSettings struct {
	AckWait     int64 `json:"ack_wait_ms"`
	MaxInFlight int   `json:"max_in_flight"`
	MaxDeliver  int   `json:"max_deliver"`
	MayLose     bool  `json:"may_lose"`
}

// EnsureTopic implements broker.Admin.
func (a admin) EnsureTopic(ctx context.Context, spec broker.TopicSpec) error {
	if err := broker.ValidName(spec.Name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if err := a.ensureTopic(ctx, spec); err != nil {
		return fmt.Errorf("ensure topic %q: %w", spec.Name, err)
	}
	a.guard.watch(spec.Name)
	return nil
}

func (a admin) ensureTopic(ctx context.Context, spec broker.TopicSpec) error {
	spec.MaxAge, spec.Dedupe = atLeastMilli(spec.MaxAge), atLeastMilli(spec.Dedupe)
	if spec.Replicas > 1 {
		return fmt.Errorf("%w: %d replicas: those of a Redis server are set up there", broker.ErrUnsupported, spec.Replicas)
	}
	out, err := a.list(ctx, 2, topicScript, spec.Name, topicArgs(spec.WithDefaults())...)
	if err != nil || integer(out[0]) == 0 {
		return err
	}
	values, _ := out[1].([]any)
	if len(values) < 4 {
		return fmt.Errorf("%w: unreadable settings", broker.ErrConflict)
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(text(values[i]), 10, 64) // 0 conflicts with whatever is wanted
		return n
	}
	have := broker.TopicSpec{
		Name: spec.Name, MaxAge: time.Duration(number(0)) * time.Millisecond, MaxBytes: number(1),
		Replicas: int(number(2)), Dedupe: time.Duration(number(3)) * time.Millisecond,
	}
	merged, diff := have.Merge(spec)
	if diff == "" {
		return nil
	}
	if !spec.Update {
		return fmt.Errorf("%w: %s", broker.ErrConflict, diff)
	}
	return a.link.observe(a.pub.HSet(ctx, a.settings(spec.Name), topicArgs(merged)...).Err())
}

func topicArgs(spec broker.TopicSpec) []any {
	return []any{
		setMaxAge, spec.MaxAge.Milliseconds(), setMaxBytes, spec.MaxBytes,
		setReplicas, spec.Replicas, setDedupe, spec.Dedupe.Milliseconds(),
	}
}

// atLeastMilli is a duration as it can be stored.
func atLeastMilli(d time.Duration) time.Duration {
	if d > 0 {
		d = max(d.Truncate(time.Millisecond), time.Millisecond)
	}
	return d
}

// EnsureGroup implements broker.Admin.
func (a admin) EnsureGroup(ctx context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if err := a.ensureGroup(ctx, spec); err != nil {
		return fmt.Errorf("ensure group %q of topic %q: %w", spec.Name, spec.Topic, err)
	}
	return nil
}

func (a admin) ensureGroup(ctx context.Context, spec broker.GroupSpec) error {
	spec.AckWait = atLeastMilli(spec.AckWait)
	set, err := json.Marshal(settingsOf(spec.WithDefaults()))
	if err != nil {
		return err
	}
	out, err := a.list(ctx, 1, groupScript, spec.Topic, spec.Name, set, "ask")
	if err == nil && text(out[0]) == "ask" {
		var start []any
		if start, err = a.place(ctx, spec.Topic, spec.Start); err == nil {
			out, err = a.list(ctx, 1, groupScript, spec.Topic, append([]any{spec.Name, set}, start...)...)
		}
	}
	if err != nil {
		return err
	}
	switch text(out[0]) {
	case "missing":
		return broker.ErrUnroutable
	case "new":
		return nil
	}
	var have groupSettings
	if len(out) < 2 || json.Unmarshal([]byte(text(out[1])), &have) != nil {
		return fmt.Errorf("%w: unreadable settings", broker.ErrConflict)
	}
	merged, diff := have.spec().Merge(spec)
	if diff == "" {
		return nil
	}
	if !spec.Update {
		return fmt.Errorf("%w: %s", broker.ErrConflict, diff)
	}
	merged.MayLose = have.MayLose
	if set, err = json.Marshal(settingsOf(merged)); err != nil {
		return err
	}
	return a.link.observe(a.pub.HSet(ctx, a.settings(spec.Topic), setGroup+spec.Name, set).Err())
}

func settingsOf(spec broker.GroupSpec) groupSettings {
	return groupSettings{
		AckWait: spec.AckWait.Milliseconds(), MaxInFlight: spec.MaxInFlight,
		MaxDeliver: spec.MaxDeliver, MayLose: spec.MayLose,
	}
}

func (s groupSettings) spec() broker.GroupSpec {
	return broker.GroupSpec{
		AckWait: time.Duration(s.AckWait) * time.Millisecond, MaxInFlight: s.MaxInFlight, MaxDeliver: s.MaxDeliver,
	}
}

// place are the words in which the scripts take a position: a name, or the id
// before it and how many entries were ever added up to that one.
func (a admin) place(ctx context.Context, topic string, to broker.Position) ([]any, error) {
	var id entryID
	switch to.Place {
	case broker.Earliest:
		return []any{"earliest"}, nil
	case broker.Latest:
		return []any{"latest"}, nil
	case broker.AtTime:
		id = at(to.Time).before()
	case broker.AtPosition:
		p, err := parseID(to.Value)
		if err != nil {
			return nil, fmt.Errorf("%w: position %q", broker.ErrInvalid, to.Value)
		}
		id = p.before()
	default:
		return nil, fmt.Errorf("%w: place %d", broker.ErrInvalid, to.Place)
	}
	n, err := a.number(ctx, topic, id.String())
	return []any{id.String(), n}, err
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

// Seek implements broker.Admin.
func (a admin) Seek(ctx context.Context, topic, group string, to broker.Position) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // it may have to count
	defer cancel()
	start, err := a.place(ctx, topic, to)
	if err == nil {
		_, err = a.run(ctx, seekScript, topic, append([]any{group}, start...)...)
	}
	if errors.Is(err, broker.ErrUnroutable) {
		err = fmt.Errorf("%w: %w", broker.ErrNoGroup, err)
	}
	if err != nil {
		return fmt.Errorf("seek group %q of topic %q: %w", group, topic, err)
	}
	return nil
}
