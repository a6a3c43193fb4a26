package record

import (
	"cmp"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
)

// Limits bounds what a door takes in, and is part of its settings. Zero fields
// take the defaults.
type Limits struct {
	MaxRecords int `help:"Most records of one batch; further ones are refused." default:"100000"`
	EventTimes `embed:""`
	MaxContext settings.Size `help:"Largest JSON context of a record." default:"1MiB"`
}

// EventTimes bounds the event times that a door takes in: by default nine years
// back, and clocks that are a day fast.
type EventTimes struct {
	MaxAge   time.Duration `help:"How far back the event time of a record may lie." default:"78840h"`
	MaxAhead time.Duration `help:"How far ahead the event time of a record may lie." default:"24h"`
}

const (
	maxText    = 64 << 10 // bytes of a text value or of a name
	maxMetrics = 1000     // of one record
)

var usual = settings.Filled(Limits{})

// WithDefaults returns the limits with their zero fields filled in.
func (l Limits) WithDefaults() Limits {
	l.MaxRecords = cmp.Or(l.MaxRecords, usual.MaxRecords)
	l.MaxAge = cmp.Or(l.MaxAge, usual.MaxAge)
	l.MaxAhead = cmp.Or(l.MaxAhead, usual.MaxAhead)
	l.MaxContext = cmp.Or(l.MaxContext, usual.MaxContext)
	return l
}

// MessageBytes is where batches are cut into messages.
const MessageBytes = 512 << 10

// envelopeRoom is what headers, id and framing add to a record's bytes in a
// message, generously.
const envelopeRoom = 4 << 10

// unknownMessage stands in while the broker has not said what it takes: what
// NATS takes by default, the least of all brokers.
const unknownMessage = 1 << 20

// MaxRecord is the largest record that fits into a message of a broker that
// takes maxMessage bytes, 0 for unknown as yet.
func MaxRecord(maxMessage int) int {
	return max(cmp.Or(max(maxMessage, 0), unknownMessage)-envelopeRoom, 1)
}
