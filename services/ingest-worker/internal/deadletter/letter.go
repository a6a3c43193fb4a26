package deadletter

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

// ID names a letter within its tenant.
type ID [16]byte

// String is the id in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String writes. The error is fault.Invalid.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != hex.EncodedLen(len(id)) {
		return id, badID(text)
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return id, badID(text)
	}
	return id, nil
}

func badID(text string) error {
	const most = 64
	if len(text) > most {
		text = text[:most]
	}
	return fault.Invalid.New("id %q: want 32 hex digits", text).WithReason("DEAD_LETTER_ID_INVALID")
}

// State is where a letter is.
type State int

// The states.
const (
	Parked   State = iota + 1 // it waits for somebody
	Redriven                  // it was published again and has not come back
)

// Letter is a parked message without its content.
type Letter struct {
	Tenant    string
	ID        ID
	Version   uint64 // greater each time the message is parked
	Redrives  int    // how often it had been redriven before it was parked
	MessageID string // what the ledger knows it by
	Type      string
	Count     int // of spans or records
	Bytes     int // of the value
	runner.Parking

	State      State
	RedrivenAt time.Time // zero when it never was
	RedrivenBy string
}

// Content is the message of a letter.
type Content struct {
	Headers    []broker.Header // its own, sorted by key
	Key, Value []byte
}

// letterOf reads a delivery from a DLQ. The content shares its memory. A packed
// message is unpacked, unless that is what is wrong with it.
func letterOf(d *broker.Delivery, seal broker.Seal) (Letter, Content) {
	message, parking := runner.Unpark(&d.Message)
	genuine := open(&message, parking, seal)
	stamp := envelope.Of(&message)
	l := Letter{
		Tenant: ownerOf(stamp.Tenant), Redrives: min(max(stamp.Redriven, 0), maxRedrives),
		MessageID: stamp.Identity(&broker.Delivery{Message: message, Lane: parking.Lane, Position: parking.Position}),
		Type:      stamp.Type, Count: max(stamp.Count, 0), Bytes: len(message.Value), Parking: parking, State: Parked,
	}
	if l.partial() {
		l.Bytes = max(l.Size, l.Bytes)
		l.Error = "only a part of it is kept (" + l.lack() + "): " + l.Error
		message.Headers = append(message.Headers,
			broker.Header{Key: event.HeaderDLQCut, Value: []byte(strings.Join(l.Cut, ","))},
			broker.Header{Key: event.HeaderDLQDigest, Value: []byte(l.Digest)})
	}
	if !genuine {
		l.Tenant = identity.MeshTenant
	}
	l.FirstSeen = within(l.FirstSeen, d.Time)
	l.DeadAt = within(l.DeadAt, d.Time)
	l.ID = idOf(&l, &message)
	l.Version = uint64(l.Redrives)<<timeBits | uint64(l.DeadAt.UnixMilli())
	slices.SortFunc(message.Headers, func(a, b broker.Header) int { return strings.Compare(a.Key, b.Key) })
	return l, Content{Headers: message.Headers, Key: message.Key, Value: message.Value}
}

// open unpacks a message, with a signature for what it is then, and reports
// whether a service of the mesh had published it. What is cut can be neither told nor
// redriven.
func open(m *broker.Message, parking runner.Parking, seal broker.Seal) (genuine bool) {
	if seal == nil || len(parking.Cut) > 0 || !seal.Signs(parking.Topic) {
		_ = envelope.Open(m)
		return parking.Reason != runner.ReasonForged
	}
	m.Topic = parking.Topic
	if seal.Check(m) != nil {
		_ = envelope.Open(m)
		return false
	}
	if _, signed := m.Find(event.HeaderSignature); envelope.Open(m) == nil && signed {
		seal.Sign(m)
	}
	return true
}

// partial reports whether the letter is a stand-in for a message that could not
// be parked whole. It cannot be redriven.
func (l *Letter) partial() bool { return len(l.Cut) > 0 }

// lack says what a stand-in does not have.
func (l *Letter) lack() string {
	return fmt.Sprintf("cut: %s; its value had %d bytes", strings.Join(l.Cut, ", "), l.Bytes)
}

// A version is the number of redrives, then milliseconds since 1970.
const (
	timeBits    = 42 // until 2109
	maxRedrives = 1<<(64-timeBits) - 1
)

// latest is a bound on times, so that dates and versions hold them.
var latest = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// within is t, or else otherwise, kept between 1970 and 2100.
func within(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		t = otherwise
	}
	switch {
	case t.Unix() < 0:
		t = time.Unix(0, 0)
	case t.After(latest):
		t = latest
	}
	return t.UTC()
}

// ownerOf is whose letter it is. What names no tenant belongs to the mesh: its
// administrators should look at it.
func ownerOf(tenant string) string {
	if identity.ValidTenant(tenant) != nil {
		return identity.MeshTenant
	}
	return tenant
}

// idOf names the message and who could not handle it. What it says is a part of
// it, because a stranger may give two messages one id.
func idOf(l *Letter, m *broker.Message) ID {
	h := sha256.New()
	for _, part := range parts(l, m) {
		h.Write(binary.AppendUvarint(nil, uint64(len(part)))) // a hash never fails
		h.Write(part)
	}
	return ID(h.Sum(nil)[:len(ID{})])
}

// parts are what names a letter: of a stand-in, the digest of what it stands for
// too.
func parts(l *Letter, m *broker.Message) [][]byte {
	out := [][]byte{[]byte(l.Topic), []byte(l.Group), []byte(l.MessageID), m.Key, m.Value}
	if l.partial() {
		out = append(out, []byte(l.Digest))
	}
	return out
}

// redriveSpace is where the ids of redriven messages come from; any value would
// do, and none must ever change.
var redriveSpace = uuid.MustParse("6c1d5a0e-6f0b-5f0a-9a55-0e6f2f7f9b57")

// message is what a redrive publishes.
func (l *Letter) message(c *Content) broker.Message {
	headers := make([]broker.Header, 0, len(c.Headers)+2)
	for _, h := range c.Headers {
		if h.Key != event.HeaderOrigin && h.Key != event.HeaderRedriven {
			headers = append(headers, h)
		}
	}
	headers = append(headers,
		broker.Header{Key: event.HeaderOrigin, Value: []byte(l.MessageID)},
		broker.Header{Key: event.HeaderRedriven, Value: strconv.AppendInt(nil, int64(l.Redrives)+1, 10)})
	name := bytes.Join([][]byte{[]byte(l.Tenant), l.ID[:], binary.BigEndian.AppendUint64(nil, l.Version)}, []byte{0})
	m := broker.Message{
		Topic: l.Topic, Value: c.Value, Headers: headers, ID: uuid.NewSHA1(redriveSpace, name).String(), Time: l.FirstSeen,
	}
	if len(c.Key) > 0 {
		m.Key = c.Key
	}
	return m
}
