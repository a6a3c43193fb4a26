package memory

import (
	"context"
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
	if s.topics[spec.Name] == nil {
		s.topics[spec.Name] = &topic{
			spec: spec.WithDefaults(), first: 1, ids: map[string]time.Time{},
			groups: map[string]*group{}, tails: map[*tail]struct{}{},
		}
		s.changed()
	}
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
	if t.groups[spec.Name] != nil {
		return nil
	}
	next := t.first
	if spec.Start == broker.Latest {
		next = t.end()
	}
	t.groups[spec.Name] = &group{
		spec: spec.WithDefaults(), next: next, pending: map[uint64]*lease{},
		attempts: map[uint64]int{}, again: map[uint64]time.Time{},
	}
	s.changed()
	return nil
}

// Check implements broker.Admin.
func (c *conn) Check(_ context.Context, topic string, groups ...string) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.topic(topic); err != nil {
		return err
	}
	for _, group := range groups {
		if _, _, err := s.group(topic, group); err != nil {
			return err
		}
	}
	return nil
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
