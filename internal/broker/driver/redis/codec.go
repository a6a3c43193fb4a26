package redis

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Fields of an entry.
const (
	fieldValue  = "v"
	fieldKey    = "k"
	fieldID     = "i"
	fieldTime   = "t"
	fieldHeader = "h:" // and its name
)

// encode is the command that publishes a message. It refers to the memory of m.
// A stream that does not exist is not made.
func encode(m *broker.Message, stream string) []any {
	args := make([]any, 0, 12+2*len(m.Headers))
	args = append(args, "XADD", stream, "NOMKSTREAM", "*", fieldValue, m.Value)
	if m.Key != nil {
		args = append(args, fieldKey, m.Key)
	}
	if m.ID != "" {
		args = append(args, fieldID, m.ID)
	}
	timed := m.Time.IsZero()
	for i := range m.Headers {
		h := &m.Headers[i]
		timed = timed || h.Key == broker.HeaderTime
		args = append(args, fieldHeader+h.Key, h.Value)
	}
	if !timed {
		args = append(args, fieldTime, strconv.FormatInt(m.Time.UnixNano(), 10))
	}
	return args
}

// entry is one message as the server holds it.
type entry struct {
	id      string
	fields  []any // names and values
	attempt int
	size    int
	since   time.Time // the lease on it begins no earlier
}

// entries reads an answer that lists entries, each an id and its fields, and
// perhaps how often it was delivered. Entries without fields are deleted ones.
func entries(reply any, since time.Time) []entry {
	list, _ := reply.([]any)
	out := make([]entry, 0, len(list))
	for _, item := range list {
		parts, _ := item.([]any)
		if len(parts) < 2 {
			continue
		}
		e := entry{id: text(parts[0]), attempt: 1, since: since}
		e.fields, _ = parts[1].([]any)
		if len(parts) > 2 {
			e.attempt = int(integer(parts[2]))
		}
		for _, f := range e.fields {
			e.size += len(text(f))
		}
		out = append(out, e)
	}
	return out
}

// streamed reads the answer of XREAD and XREADGROUP for one stream.
func streamed(reply any, since time.Time) []entry {
	streams, _ := reply.([]any)
	if len(streams) == 0 {
		return nil
	}
	pair, _ := streams[0].([]any)
	if len(pair) < 2 {
		return nil
	}
	return entries(pair[1], since)
}

// delivery fills d from the fields, whose memory it shares. Names of headers
// are lower-cased, so that foreign producers' Traceparent is found; headers that
// break our rules are mended or dropped, so that what came in can be published
// again.
func (e *entry) delivery(topic string, d *broker.Delivery) {
	d.Topic, d.Lane, d.Position, d.Attempt = topic, lane, e.id, e.attempt
	d.Value = []byte{}
	if id, err := parseID(e.id); err == nil {
		d.Time = id.time()
	}
	d.Headers = make([]broker.Header, 0, len(e.fields)/2)
	for i := 0; i+1 < len(e.fields); i += 2 {
		name, value := text(e.fields[i]), text(e.fields[i+1])
		switch {
		case name == fieldValue:
			d.Value = bytesOf(value)
		case name == fieldKey:
			d.Key = bytesOf(value)
		case name == fieldID:
			d.ID = value
		case name == fieldTime:
			if ns, err := strconv.ParseInt(value, 10, 64); err == nil {
				d.Time = time.Unix(0, ns)
			}
		case strings.HasPrefix(name, fieldHeader):
			d.Headers = appendHeader(d.Headers, name[len(fieldHeader):], value)
		}
	}
	d.Time = broker.TimeOf(d.Headers, d.Time)
	if broker.ValidMessage(&broker.Message{Topic: topic, ID: d.ID}, 0) != nil {
		d.ID = "" // nobody could publish it again
	}
}

func appendHeader(hs []broker.Header, key, value string) []broker.Header {
	lower := strings.ToLower(key)
	h := broker.Header{Key: lower, Value: bytesOf(value)}
	if broker.ValidHeader(&h) != nil {
		h.Value = []byte(strings.NewReplacer("\x00", " ", "\r", " ", "\n", " ").Replace(strings.ToValidUTF8(value, "\uFFFD")))
		if !utf8.ValidString(lower) || broker.ValidHeader(&h) != nil {
			return hs
		}
	}
	i := slices.IndexFunc(hs, func(o broker.Header) bool { return o.Key == lower })
	if i < 0 {
		return append(hs, h)
	}
	if key == lower { // the exact name wins over its variants
		hs[i] = h
	}
	return hs
}

// bytesOf converts without a copy. That is safe because deliveries are not to
// be written to.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{} // not nil: an empty key is a key
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
