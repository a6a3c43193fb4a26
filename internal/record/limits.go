package record

import (
	"cmp"
	"time"
)

// Limits bounds what a door takes in. Zero fields take the defaults.
type Limits struct {
	// MaxRecords of one batch; further ones are refused. Default 100,000.
	MaxRecords int
	// MaxAge is how far back an event time may lie. Default 9 years.
	MaxAge time.Duration
	// MaxAhead is how far ahead an event time may lie. Default 24 h.
	MaxAhead time.Duration
	// MaxContext is the size of a context's JSON. Default 1 MiB.
	MaxContext int
	// MaxText is the size of a text value or of a name. Default 64 KiB.
	MaxText int
	// MaxMetrics of one record. Default 1,000.
	MaxMetrics int
}

const year = 365 * 24 * time.Hour

// WithDefaults returns the limits with their zero fields filled in.
func (l Limits) WithDefaults() Limits {
	l.MaxRecords = cmp.Or(l.MaxRecords, 100_000)
	l.MaxAge = cmp.Or(l.MaxAge, 9*year)
	l.MaxAhead = cmp.Or(l.MaxAhead, 24*time.Hour)
	l.MaxContext = cmp.Or(l.MaxContext, 1<<20)
	l.MaxText = cmp.Or(l.MaxText, 64<<10)
	l.MaxMetrics = cmp.Or(l.MaxMetrics, 1000)
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
