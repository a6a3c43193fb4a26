package runner

import (
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
)

// Parking is what Parked has written into the headers of a message. Fields
// whose header is absent or unreadable are zero.
type Parking struct {
	Topic, Group   string // where it came from, and who could not handle it
	Lane, Position string // its place there
	Reason         Reason
	Error          string
	Attempts       int
	FirstSeen      time.Time
	DeadAt         time.Time
	Worker         string

	// Of a stand-in: what is not whole of it, in the words of
	// event.HeaderDLQCut, and the bytes and the digest of the whole value. Cut is
	// empty otherwise.
	Cut    []string
	Size   int
	Digest string
}

// Unpark is the inverse of Parked: the message as it was before it was parked,
// which shares m's memory, and what is known about the parking. The topic is
// that of the DLQ the message was read from, whatever its headers say. Of a
// stand-in it is what is left of the message (Parking.Cut).
func Unpark(m *broker.Message) (broker.Message, Parking) {
	out := *m
	out.Topic = event.Origin(m.Topic)
	out.Headers = make([]broker.Header, 0, len(m.Headers))
	p := Parking{Topic: out.Topic}
	for _, h := range m.Headers {
		if strings.HasPrefix(h.Key, event.PrefixDLQ) {
			p.read(h.Key, string(h.Value))
			continue
		}
		out.Headers = append(out.Headers, h)
	}
	return out, p
}

func (p *Parking) read(key, value string) {
	switch key {
	case event.HeaderDLQGroup:
		p.Group = value
	case event.HeaderDLQLane:
		p.Lane = value
	case event.HeaderDLQPosition:
		p.Position = value
	case event.HeaderDLQReason:
		p.Reason = Reason(value)
	case event.HeaderDLQError:
		p.Error = value
	case event.HeaderDLQAttempts:
		p.Attempts, _ = strconv.Atoi(value)
	case event.HeaderDLQFirstSeen:
		p.FirstSeen, _ = time.Parse(time.RFC3339Nano, value)
	case event.HeaderDLQDeadAt:
		p.DeadAt, _ = time.Parse(time.RFC3339Nano, value)
	case event.HeaderDLQWorker:
		p.Worker = value
	case event.HeaderDLQCut:
		p.Cut = strings.Split(value, ",")
	case event.HeaderDLQSize:
		p.Size, _ = strconv.Atoi(value)
	case event.HeaderDLQDigest:
		p.Digest = value
	}
}
