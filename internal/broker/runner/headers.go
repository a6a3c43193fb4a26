package runner

import (
	"slices"

	"github.com/driftmesh/driftmesh/internal/broker"
)

func has(m *broker.Message, key string) bool {
	_, ok := m.Find(key)
	return ok
}

// mark adds headers in the place of those of the same name. m has headers of
// its own.
func mark(m *broker.Message, headers []broker.Header) {
	for _, h := range headers {
		m.Headers = slices.DeleteFunc(m.Headers, func(old broker.Header) bool { return old.Key == h.Key })
		m.Headers = append(m.Headers, h)
	}
}
