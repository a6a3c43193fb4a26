package broker

import (
	"fmt"
	"strings"
	"time"
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

// ParkRoom is how much larger than Capabilities.MaxMessageBytes a message to a
// DLQ may be, so that whatever was delivered can be parked.
const ParkRoom = 4 << 10

// TopicSpec describes a topic to provision. A zero field takes the default
// when the topic is new and accepts anything when it exists.
type TopicSpec struct {
	// Name is of [a-z0-9-_.], and is all that is required.
	Name string
	// MaxAge is how long messages are kept; it should exceed the longest outage
	// of a group that must lose nothing.
	MaxAge time.Duration
	// MaxBytes bounds the stored bytes; the oldest messages go first. Before
	// they go unread by a group, publishing is refused with ErrBackpressure,
	// except to a DLQ.
	MaxBytes int64
	// Replicas is how many servers hold a copy; default 1, or what the driver's
	// URL says.
	Replicas int
	// Dedupe is the window within which a message ID is stored once.
	Dedupe time.Duration
	// Update applies differing settings to an existing topic instead of
	// returning ErrConflict.
	Update bool
}

// GroupSpec describes a group to provision, under the same rules.
type GroupSpec struct {
	// Topic and Name are required; Name is of [a-z0-9-_].
	Topic, Name string
	// Start is where a new group begins; the zero value is the earliest message
	// that is retained.
	Start Position
	// AckWait is how long a worker may hold a delivery without extending it.
	AckWait time.Duration
	// MaxInFlight bounds the unsettled messages of all workers together.
	MaxInFlight int
	// MaxDeliver makes the broker itself stop delivering a message after that
	// many attempts. 0 is never, which is recommended: outages and crashes count
	// as attempts too, and the Runner parks what cannot be handled. Where it is
	// set, the driver watches for what the broker gave up and parks it.
	MaxDeliver int
	// MayLose lets retention overtake the group: publishers do not wait for it.
	// It is for groups that nobody may be working. Read when the group is made.
	MayLose bool
	// Update applies differing settings to an existing group.
	Update bool
}

// Place is a kind of position.
type Place int

// The places a group can begin at or seek to.
const (
	Earliest   Place = iota // the oldest message retained
	Latest                  // only what is published from now on
	AtTime                  // the first message stored at or after Position.Time
	AtPosition              // the message at Position.Value
)

// Position is a place in a topic.
type Position struct {
	Place Place
	Time  time.Time // with AtTime
	Value string    // with AtPosition: a Delivery.Position
}

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
	setIfZero(&t.Dedupe, min(DefaultDedupe, t.MaxAge))
	return t
}

// Merge lays the non-zero fields of want over what exists, and names those
// that differ ("" when none does). Drivers use it to detect conflicts.
func (t TopicSpec) Merge(want TopicSpec) (merged TopicSpec, diff string) {
	var d differ
	set(&d, "max age", &t.MaxAge, want.MaxAge)
	set(&d, "max bytes", &t.MaxBytes, want.MaxBytes)
	set(&d, "replicas", &t.Replicas, want.Replicas)
	set(&d, "dedupe window", &t.Dedupe, want.Dedupe)
	return t, d.String()
}

// WithDefaults returns the spec with its zero fields filled in.
func (g GroupSpec) WithDefaults() GroupSpec {
	setIfZero(&g.AckWait, DefaultAckWait)
	setIfZero(&g.MaxInFlight, DefaultGroupFlight)
	return g
}

// Merge lays the non-zero fields of want over what exists, and names those
// that differ ("" when none does). Start is only for new groups.
func (g GroupSpec) Merge(want GroupSpec) (merged GroupSpec, diff string) {
	var d differ
	set(&d, "ack wait", &g.AckWait, want.AckWait)
	set(&d, "max in flight", &g.MaxInFlight, want.MaxInFlight)
	set(&d, "max deliver", &g.MaxDeliver, want.MaxDeliver)
	return g, d.String()
}

func setIfZero[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// differ collects the differences of a merge.
type differ struct{ strings.Builder }

func set[T comparable](d *differ, name string, have *T, want T) {
	var zero T
	if want == zero || want == *have {
		return
	}
	if d.Len() > 0 {
		d.WriteString(", ")
	}
	fmt.Fprintf(d, "%s is %v, not %v", name, *have, want)
	*have = want
}
