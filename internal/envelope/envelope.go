// Package envelope puts the facts about a message that every service needs into
// its headers, and reads them back.
package envelope

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
)

// Stamp are the facts about a message that its headers carry.
type Stamp struct {
	Tenant   string
	Type     string
	Count    int
	Accepted time.Time
	Seq      string // "" outside the ledger
	Sender   string // the principal who brought it; "" for what nobody brought
	Origin   string // of a redriven message: the id it had at first
	Redriven int    // how often it was redriven
	Encoding string // what Unpack needs; written by Pack
}

// New makes a message with a fresh id and the stamp as headers, but for what
// only a redriven message has, and for the encoding. The value is not copied.
func New(topic string, s Stamp, value []byte) broker.Message {
	m := Bare(topic, s, value)
	m.ID = newID()
	return m
}

// Bare is New without an id: for a message that may come twice, and that no broker
// need remember.
func Bare(topic string, s Stamp, value []byte) broker.Message {
	h := make([]broker.Header, 0, 8)
	h = append(h,
		broker.Header{Key: event.HeaderTenant, Value: []byte(s.Tenant)},
		broker.Header{Key: event.HeaderType, Value: []byte(s.Type)},
		broker.Header{Key: event.HeaderCount, Value: strconv.AppendInt(nil, int64(s.Count), 10)},
		broker.Header{Key: event.HeaderTime, Value: strconv.AppendInt(nil, s.Accepted.UnixNano(), 10)},
	)
	if s.Seq != "" {
		h = append(h, broker.Header{Key: event.HeaderSeq, Value: []byte(s.Seq)})
	}
	if s.Sender != "" {
		h = append(h, broker.Header{Key: event.HeaderSender, Value: []byte(s.Sender)})
	}
	return broker.Message{Topic: topic, Value: value, Headers: h, Time: s.Accepted}
}

// newID is a UUIDv7, time-ordered; a random one if the clock source fails.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	return id.String()
}

// Of reads the stamp of a message; fields that are absent or unreadable
// are zero, except that the accepted time falls back to the message's own.
func Of(m *broker.Message) Stamp {
	s := Stamp{Accepted: m.Time}
	for i := range m.Headers {
		v := string(m.Headers[i].Value)
		switch m.Headers[i].Key {
		case event.HeaderTenant:
			s.Tenant = v
		case event.HeaderType:
			s.Type = v
		case event.HeaderCount:
			s.Count, _ = strconv.Atoi(v)
		case event.HeaderTime:
			if ns, err := strconv.ParseInt(v, 10, 64); err == nil {
				s.Accepted = time.Unix(0, ns)
			}
		case event.HeaderSeq:
			s.Seq = v
		case event.HeaderSender:
			s.Sender = v
		case event.HeaderEncoding:
			s.Encoding = v
		case event.HeaderOrigin:
			s.Origin = v
		case event.HeaderRedriven:
			s.Redriven, _ = strconv.Atoi(v)
		}
	}
	return s
}

// Identity is the id under which the ledger knows a delivery with this stamp:
// a message that was redriven is the one it was, and one without an id, which
// no door writes, is known by its place.
func (s Stamp) Identity(d *broker.Delivery) string {
	switch {
	case s.Origin != "":
		return s.Origin
	case d.ID != "":
		return d.ID
	}
	return d.Lane + ":" + d.Position
}

// SplitSeq reads "<instance>:<number>"; ok is false for anything else.
func SplitSeq(seq string) (instance string, n uint64, ok bool) {
	instance, digits, found := strings.Cut(seq, ":")
	if !found || instance == "" {
		return "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return instance, n, err == nil
}
