package records

import (
	"time"

	"github.com/driftmesh/driftmesh/internal/record"
)

// Limits bounds what the door takes in. Zero fields take the defaults.
type Limits struct {
	// Rules are those for a batch and its records.
	Rules record.Limits
	// MessageBytes is where batches are cut into messages. Default 512 KiB.
	MessageBytes int
	// InFlightBytes of all batches that are being published. Default 128 MiB.
	InFlightBytes int64
	// Outstanding batches of one stream; further ones are not read until one of
	// them is answered. Default 16.
	Outstanding int
	// PublishTimeout is how long the broker may take for a batch. Default 10 s.
	PublishTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	l.MessageBytes = or(l.MessageBytes, record.MessageBytes)
	l.InFlightBytes = or(l.InFlightBytes, 128<<20)
	l.Outstanding = or(l.Outstanding, 16)
	l.PublishTimeout = or(l.PublishTimeout, 10*time.Second)
	return l
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
