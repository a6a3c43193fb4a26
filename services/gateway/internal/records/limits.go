package records

import (
	"cmp"

	"github.com/driftmesh/driftmesh/internal/record"
)

// Limits bounds what the door takes in. Zero fields take the defaults.
type Limits struct {
	// Rules are those for a batch and its records.
	Rules record.Limits
	// MessageBytes is where batches are cut into messages. Default 512 KiB.
	MessageBytes int
	// Outstanding batches of one stream; further ones are not read until one of
	// them is answered. Default 16.
	Outstanding int
}

func (l Limits) withDefaults() Limits {
	l.MessageBytes = cmp.Or(l.MessageBytes, record.MessageBytes)
	l.Outstanding = cmp.Or(l.Outstanding, 16)
	return l
}
