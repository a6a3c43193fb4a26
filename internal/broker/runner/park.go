package runner

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
)

// Reason is why a message was parked.
type Reason string

// The reasons. Handlers may use others of their own, in lower snake case.
const (
	ReasonMaxDeliveries Reason = "max_deliveries" // every attempt failed, or crashed
	ReasonDecode        Reason = "decode"         // the value cannot be read
	ReasonSchema        Reason = "schema"         // it can, and breaks a rule
	ReasonTooLarge      Reason = "too_large"      // the store or a topic cannot take it
	ReasonStoreRejected Reason = "store_rejected" // the store refused it for good
	ReasonDenied        Reason = "denied"         // its sender may not do this
	ReasonForged        Reason = "forged"         // no service of the mesh published it (see broker.Seal)
)

const maxErrorBytes = 1 << 10

// Park says why and by whom a message is parked.
type Park struct {
	Reason   Reason
	Err      error // may be nil
	Attempts int
	Group    string
	Worker   string
	At       time.Time // zero is now
}

// Parked is the message to publish to the DLQ for a delivery. It shares the
// delivery's memory, and keeps its id; that is why DLQ topics have no dedupe
// window to speak of (see broker.Provision): what was parked, redriven and parked
// again must be there again. Headers that hold credentials are left out: dead
// letters lie about for long and are read by people.
func Parked(d *broker.Delivery, p Park) broker.Message {
	m := d.Message
	m.Topic = broker.DLQ(d.Topic)
	if p.At.IsZero() {
		p.At = time.Now()
	}
	first := m.Header(event.HeaderDLQFirstSeen)
	if first == "" {
		first = d.Time.UTC().Format(time.RFC3339Nano)
	}
	m.Headers = make([]broker.Header, 0, len(d.Headers)+10)
	for _, h := range d.Headers {
		if !strings.HasPrefix(h.Key, event.PrefixDLQ) && !Secret(h.Key) && h.Key != event.HeaderWaiting {
			m.Headers = append(m.Headers, h)
		}
	}
	add := func(key, value string) { m.Headers = append(m.Headers, broker.Header{Key: key, Value: []byte(value)}) }
	add(event.HeaderDLQReason, string(p.Reason))
	add(event.HeaderDLQError, errorText(p.Err))
	add(event.HeaderDLQAttempts, strconv.Itoa(p.Attempts))
	add(event.HeaderDLQTopic, event.RetryOf(d.Topic))
	add(event.HeaderDLQGroup, p.Group)
	add(event.HeaderDLQLane, d.Lane)
	add(event.HeaderDLQPosition, d.Position)
	add(event.HeaderDLQFirstSeen, first)
	add(event.HeaderDLQDeadAt, p.At.UTC().Format(time.RFC3339Nano))
	add(event.HeaderDLQWorker, p.Worker)
	return m
}

// Secret reports whether a header, lower case, holds credentials by its name.
func Secret(key string) bool {
	switch key {
	case "authorization", "proxy-authorization", "x-api-key", "api-key", "cookie":
		return true
	}
	return false
}

// errorText is an error as one short line that any header can hold.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, err.Error())
	for len(s) > maxErrorBytes {
		_, n := utf8.DecodeLastRuneInString(s[:maxErrorBytes])
		s = s[:maxErrorBytes-n]
	}
	return strings.TrimSpace(s)
}
