package broker

import (
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/internal/event"
)

// Header is one entry of a message's metadata. Keys are lower case, of
// [a-z0-9-_.]; values may hold any UTF-8 text without CR, LF and NUL, or any
// bytes when the key ends in "-bin".
type Header struct {
	Key   string
	Value []byte
}

// Headers this package reads or writes; package event names them all.
const (
	HeaderTenant      = event.HeaderTenant
	HeaderTime        = event.HeaderTime // the same on every delivery
	HeaderTraceParent = event.HeaderTraceParent
	// HeaderBrokerUser names the user whom the broker has verified as the
	// message's producer. Only a driver with Capabilities.VerifiedUser writes it,
	// on what it receives; one that comes in from outside it throws away.
	HeaderBrokerUser = event.HeaderBrokerUser
)

// MeshTenant is the tenant of the mesh's own telemetry. Work on its behalf is
// never traced, so that telemetry about telemetry cannot feed itself.
const MeshTenant = event.Mesh

// Message is what a producer publishes. The driver copies neither Value nor
// Headers before it returns from Publish, and changes neither.
type Message struct {
	// Topic names where it goes.
	Topic string
	// Key orders messages with an equal key where Capabilities.Ordered; nil is
	// any lane.
	Key []byte
	// Value is the payload.
	Value []byte
	// Headers have distinct keys. Brokers may deliver them in another order.
	Headers []Header
	// ID identifies the message for de-duplication; "" is none.
	ID string
	// Time is the producer's time; zero is the broker's. On a delivery it is
	// the header driftmesh-time where there is one, else the time given here,
	// else when the broker stored the message.
	Time time.Time
}

// Header returns the value of a header as text, "" when it is absent.
func (m *Message) Header(key string) string {
	value, _ := m.Find(key)
	return string(value)
}

// Find returns the value of a header, which is the message's, and whether it is
// there. It does not allocate.
func (m *Message) Find(key string) (value []byte, ok bool) {
	for i := range m.Headers {
		if m.Headers[i].Key == key {
			return m.Headers[i].Value, true
		}
	}
	return nil, false
}

// Is reports whether a header is there with this value. It does not allocate.
func (m *Message) Is(key, value string) bool {
	have, ok := m.Find(key)
	return ok && string(have) == value
}

// Size is the number of bytes of value, key, id and headers: what limits of
// batches and windows count.
func (m *Message) Size() int {
	n := len(m.Value) + len(m.Key) + len(m.ID)
	for i := range m.Headers {
		n += len(m.Headers[i].Key) + len(m.Headers[i].Value) + 4
	}
	return n
}

// Delivery is one message as a worker of a group receives it.
type Delivery struct {
	Message
	// Attempt is 1 for the first delivery to the group, and 0 where the broker
	// cannot tell (Capabilities.CountsAttempts).
	Attempt int
	// Lane is the unit of ordering it came from: partition, shard or queue.
	Lane string
	// Position is its place in the lane: offset, sequence or entry id; "" if
	// the broker has none.
	Position string
}

// TimeOf is the time of a message as rule 3.1 has it: the header
// driftmesh-time, else fallback. Drivers use it to fill Message.Time.
func TimeOf(headers []Header, fallback time.Time) time.Time {
	for i := range headers {
		if headers[i].Key != HeaderTime {
			continue
		}
		if ns, err := strconv.ParseInt(string(headers[i].Value), 10, 64); err == nil {
			return time.Unix(0, ns)
		}
	}
	return fallback
}

// DLQ is the topic that holds what a topic's groups have parked; a retry topic
// has that of its topic.
func DLQ(topic string) string { return event.DLQ(topic) }

// IsDLQ reports whether a topic holds parked messages.
func IsDLQ(topic string) bool { return event.IsDLQ(topic) }
