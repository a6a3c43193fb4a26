// Package away remembers for a moment what a neighbour could not say, so that
// the same question is not asked again at each of thousands of messages, and
// whoever asks something else has its turn.
package away

import (
	"context"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// For is how long a failure is believed.
const For = 2 * time.Second

// maxFailures bounds a memory.
const maxFailures = 10_000

// Memory are questions that failed of late, by what was asked. The zero Memory
// is ready. It is safe for concurrent use.
type Memory[K comparable] struct {
	mu     sync.Mutex
	failed map[K]failure
}

type failure struct {
	err   error
	until time.Time
}

// Ask asks, unless the same question failed of late: then it is the same error.
// An answer is not remembered, even if it is no; nor is a failure when ctx was
// done before: then ask can only tell what is known already.
func (m *Memory[K]) Ask(ctx context.Context, question K, ask func() error) error {
	if err := m.lately(question); err != nil {
		return err
	}
	late := ctx.Err() != nil
	err := ask()
	if !late && unanswered(err) {
		m.note(question, err)
	}
	return err
}

// unanswered reports whether an error is no answer, and the neighbour's doing.
func unanswered(err error) bool {
	if err == nil {
		return false
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Timeout, fault.Exhausted, fault.Internal:
		return true
	default:
		return false
	}
}

func (m *Memory[K]) lately(question K) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.failed[question]
	if ok && time.Now().After(f.until) {
		delete(m.failed, question)
		return nil
	}
	return f.err
}

func (m *Memory[K]) note(question K, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil {
		m.failed = map[K]failure{}
	}
	for old := range m.failed { // any will do
		if len(m.failed) < maxFailures {
			break
		}
		delete(m.failed, old)
	}
	m.failed[question] = failure{err, time.Now().Add(For)}
}
