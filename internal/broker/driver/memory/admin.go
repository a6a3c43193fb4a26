package memory

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// EnsureTopic implements broker.Admin.
func (c *conn) EnsureTopic(_ context.Context, spec broker.TopicSpec) error {
	if err := broker.ValidName(spec.Name); err != nil {
		return err
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return broker.ErrUnavailable
	}
	t := s.topics[spec.Name]
	if t == nil {
		s.topics[spec.Name] = &topic{
			spec: spec.WithDefaults(), first: 1, ids: map[string]time.Time{},
			groups: map[string]*group{}, tails: map[*tail]struct{}{},
		}
		s.changed()
		return nil
	}
	merged, diff := t.spec.Merge(spec)
	if diff != "" && !spec.Update {
		return fmt.Errorf("topic %q: %w: %s", spec.Name, broker.ErrConflict, diff)
	}
	t.spec = merged
	return nil
}

// EnsureGroup implements broker.Admin.
func (c *conn) EnsureGroup(_ context.Context, spec broker.GroupSpec) error {
	if err := broker.ValidGroup(spec.Name); err != nil {
		return err
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topic(spec.Topic)
	if err != nil {
		return err
	}
	if g := t.groups[spec.Name]; g != nil {
		merged, diff := g.spec.Merge(spec)
		if diff != "" && !spec.Update {
			return fmt.Errorf("group %q: %w: %s", spec.Name, broker.ErrConflict, diff)
		}
		g.spec = merged
		return nil
	}
	next, err := t.locate(spec.Start)
	if err != nil {
		return err
	}
	t.groups[spec.Name] = &group{
		spec: spec.WithDefaults(), next: next, pending: map[uint64]*lease{},
		attempts: map[uint64]int{}, again: map[uint64]time.Time{},
	}
	s.changed()
	return nil
}

// locate turns a position into a sequence.
func (t *topic) locate(p broker.Position) (uint64, error) {
	switch p.Place {
	case broker.Latest:
		return t.end(), nil
	case broker.AtTime:
		for i := range t.log {
			if !t.log[i].stored.Before(p.Time) {
				return t.first + uint64(i), nil
			}
		}
		return t.end(), nil
	case broker.AtPosition:
		seq, err := strconv.ParseUint(p.Value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: position %q", broker.ErrInvalid, p.Value)
		}
		return min(max(seq, t.first), t.end()), nil
	default:
		return t.first, nil
	}
}

// Lag implements broker.Admin.
func (c *conn) Lag(_ context.Context, topic, group string) (broker.Lag, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	t, g, err := s.group(topic, group)
	if err != nil {
		return broker.Lag{}, err
	}
	now := time.Now()
	c.report(t, t.trim(now))
	lag := broker.Lag{
		Pending: int64(t.end()-g.next) + int64(len(g.again)), InFlight: int64(len(g.pending)), Known: true,
	}
	if e := t.at(g.floor()); e != nil {
		lag.Oldest = now.Sub(e.stored)
	}
	return lag, nil
}

// Seek implements broker.Admin.
func (c *conn) Seek(_ context.Context, topic, group string, to broker.Position) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	t, g, err := s.group(topic, group)
	if err != nil {
		return err
	}
	seq, err := t.locate(to)
	if err != nil {
		return err
	}
	g.seek(seq)
	s.changed()
	return nil
}
