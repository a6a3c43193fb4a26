package connect

import (
	"context"
	"slices"
	"sync"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Child is something that closes with its connection.
type Child interface {
	Close(ctx context.Context) error
}

// Tail makes a tail a Child.
type Tail struct{ broker.Tail }

// Close implements Child.
func (t Tail) Close(context.Context) error { return t.Tail.Close() }

// Children are the publishers, consumers and tails of one connection. The zero
// value is ready. It is safe for concurrent use.
type Children struct {
	mu     sync.Mutex
	closed bool
	list   []Child
}

// Add makes c close with the connection; after Close it returns ErrClosed.
func (s *Children) Add(c Child) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return broker.ErrClosed
	}
	s.list = append(s.list, c)
	return nil
}

// Remove forgets c, which was closed before the connection.
func (s *Children) Remove(c Child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(o Child) bool { return o == c })
}

// All are those that are open, the oldest first.
func (s *Children) All() []Child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// Close closes all, the newest first, and returns the first error. Only the
// first call does, and says so.
func (s *Children) Close(ctx context.Context) (first bool, err error) {
	s.mu.Lock()
	first, s.closed = !s.closed, true
	s.mu.Unlock()
	if !first {
		return false, nil
	}
	for _, c := range slices.Backward(s.All()) {
		if e := c.Close(ctx); e != nil && err == nil {
			err = e
		}
	}
	return true, err
}
