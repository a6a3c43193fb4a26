package broker

import (
	"time"

	"github.com/driftmesh/driftmesh/internal/event"
)

// Defaults of the specs, used where a field is zero and the thing is new.
const (
	DefaultMaxAge      = 72 * time.Hour
	DefaultTopicBytes  = 2 << 30 // brokers may reserve it
	DefaultDedupe      = 2 * time.Minute
	DefaultAckWait     = time.Minute
	DefaultGroupFlight = 16 * 1024

	DefaultMaxMessages = 512
	DefaultMaxBytes    = 32 << 20
	DefaultLinger      = 200 * time.Millisecond
	DefaultMaxInFlight = 2
)

// NoDedupe as a TopicSpec.Dedupe stores every message whatever its ID. It is
// for topics that strangers publish to: who chooses IDs freely could otherwise
// make vanish what others publish under the same one.
const NoDedupe time.Duration = -1

// ParkRoom is how much larger than Capabilities.MaxMessageBytes a message to a
// DLQ or a retry topic may be, so that whatever was delivered can be put there.
const ParkRoom = 4 << 10

// TopicSpec describes a topic to make. Zero fields take the defaults.
type TopicSpec struct {
	// Name is of [a-z0-9-_.], and is all that is required.
	Name string
	// MaxAge is how long messages are kept; it should exceed the longest outage
	// of a group that must lose nothing.
	MaxAge time.Duration
	// MaxBytes bounds the stored bytes. What every group has acknowledged goes
	// when others need its room, the oldest first; while there is no such message,
	// publishing is refused with ErrBackpressure, to a DLQ too.
	MaxBytes int64
	// Replicas is how many servers hold a copy; default 1, or what the driver's
	// URL says.
	Replicas int
	// Dedupe is the window within which a message ID is stored once, where
	// Capabilities.Dedupe; NoDedupe is none. By default it is DefaultDedupe, and
	// DLQDedupe for a DLQ.
	Dedupe time.Duration
}

// GroupSpec describes a group to make, under the same rules.
type GroupSpec struct {
	// Topic and Name are required; Name is of [a-z0-9-_].
	Topic, Name string
	// Start is where a new group begins.
	Start Place
	// AckWait is how long a worker may hold a delivery without extending it.
	AckWait time.Duration
	// MaxInFlight bounds the unsettled messages of all workers together.
	MaxInFlight int
	// MayLose lets retention overtake the group: publishers do not wait for it.
	// It is for groups that nobody may be working. Read when the group is made.
	MayLose bool
}

// Place is where a new group begins.
type Place int

// The places.
const (
	Earliest Place = iota // the oldest message retained
	Latest                // only what is published from now on
)

// ConsumerConfig says how a worker joins a group and how its batches are cut.
// Zero fields take the defaults above.
type ConsumerConfig struct {
	// Topic and Group are required.
	Topic, Group string
	// Member names the worker, for people; a Runner's default is the host's name.
	Member string
	// MaxMessages, MaxBytes and Linger end a batch, whichever comes first; the
	// linger counts from the batch's first message. A single message larger than
	// MaxBytes is a batch of its own.
	MaxMessages int
	MaxBytes    int
	Linger      time.Duration
	// MaxInFlight is how many batches may be unsettled at a time. The worker's
	// memory is bounded by about (MaxInFlight + 1) × MaxBytes.
	MaxInFlight int
	// AckWait is the lease on a batch; it must equal the group's. 0 takes the
	// group's.
	AckWait time.Duration
	// Forget removes messages within seconds once every group has acknowledged them
	// that must not lose any, instead of keeping them until others need their room:
	// for what must not lie about. There is no replay then.
	Forget bool
}

// WithDefaults returns the config with its zero fields filled in, AckWait
// excepted, which the group decides.
func (c ConsumerConfig) WithDefaults() ConsumerConfig {
	if c.MaxMessages <= 0 {
		c.MaxMessages = DefaultMaxMessages
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Linger <= 0 {
		c.Linger = DefaultLinger
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	return c
}

// WithDefaults returns the spec with its zero fields filled in.
func (t TopicSpec) WithDefaults() TopicSpec {
	setIfZero(&t.MaxAge, DefaultMaxAge)
	setIfZero(&t.MaxBytes, DefaultTopicBytes)
	setIfZero(&t.Replicas, 1)
	if event.IsDLQ(t.Name) {
		setIfZero(&t.Dedupe, DLQDedupe)
	}
	setIfZero(&t.Dedupe, min(DefaultDedupe, t.MaxAge))
	return t
}

// WithDefaults returns the spec with its zero fields filled in.
func (g GroupSpec) WithDefaults() GroupSpec {
	setIfZero(&g.AckWait, DefaultAckWait)
	setIfZero(&g.MaxInFlight, DefaultGroupFlight)
	return g
}

func setIfZero[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
