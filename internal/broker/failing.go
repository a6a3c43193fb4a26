package broker

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// failingAfter is how long publishing must have failed, with no success in
	// between, before it counts, unless the broker said that there is nothing to
	// publish to: one call may find a broker full or a connection broken.
	failingAfter = 2 * time.Second
	// failingFor is how long a failure counts when nobody tries again. Whoever is
	// not ready may be asked nothing, and must not stay so for that alone.
	failingFor = 10 * time.Second
)

// Failing returns why publishing to a topic on an instrumented broker does not
// work, and when that was last seen; no error when it does work, or nobody has
// tried of late. It is what callers of the service see, and knows what
// Admin.Check cannot: that a topic is full, or that the broker takes no more. A
// message that is refused for what it is says nothing about its topic.
func Failing(b Broker, topic string) (at time.Time, err error) {
	if i, ok := b.(*instrumented); ok {
		return i.fates.failing(topic)
	}
	return time.Time{}, nil
}

// fates are how publishing goes, by topic. They are safe for concurrent use.
type fates struct {
	mu     sync.Mutex
	topics map[string]*fate // of topics whose last publish failed
}

// fate is a run of failures.
type fate struct {
	first, last time.Time
	err         error
}

// note keeps what became of one publish call.
func (f *fates) note(msgs []Message, err error) {
	pe, _ := errors.AsType[*PublishError](err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if pe == nil {
		if err == nil && len(f.topics) > 0 {
			for i := range msgs {
				delete(f.topics, msgs[i].Topic)
			}
		}
		return
	}
	now := time.Now()
	failed := make(map[int]bool, len(pe.Failed))
	for _, one := range pe.Failed {
		failed[one.Index] = true
		if !own(one.Err) {
			f.fail(msgs[one.Index].Topic, one.Err, now)
		}
	}
	for i := range msgs {
		if !failed[i] {
			delete(f.topics, msgs[i].Topic)
		}
	}
}

// own reports whether a failure is about the message or the caller.
func own(err error) bool {
	return errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrClosed)
}

// fail is called with mu held.
func (f *fates) fail(topic string, err error, now time.Time) {
	one := f.topics[topic]
	if one == nil || now.Sub(one.last) > failingFor {
		one = &fate{first: now}
		if f.topics == nil {
			f.topics = map[string]*fate{}
		}
		f.topics[topic] = one
	}
	one.last, one.err = now, err
}

func (f *fates) failing(topic string) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.topics[topic]
	if one == nil || time.Since(one.last) > failingFor {
		return time.Time{}, nil
	}
	gone := errors.Is(one.err, ErrUnroutable) || errors.Is(one.err, ErrDenied)
	if !gone && one.last.Sub(one.first) < failingAfter {
		return time.Time{}, nil
	}
	return one.last, fmt.Errorf("publish to topic %q: %w", topic, one.err)
}
