package rabbitmq

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Headers of our own; broker.Reserved keeps callers off them.
const (
	headerKey  = broker.Reserved + "key"  // ordering key, where the routing key cannot hold it
	headerID   = broker.Reserved + "id"   // id, where message-id cannot hold it
	headerTime = broker.Reserved + "time" // producer's time, Unix nanoseconds; absent beside driftmesh-time
)

const (
	binSuffix = "-bin"
	maxShort  = 255 // bytes of a routing key or a property
)

// encoder builds publishings one after the other in the same memory. What it
// returns is valid until the next call.
type encoder struct{ headers amqp.Table }

// encode turns a message into its wire form. It refers to the memory of m.
func (e *encoder) encode(m *broker.Message, now time.Time) (key string, out amqp.Publishing) {
	if e.headers == nil {
		e.headers = amqp.Table{}
	}
	clear(e.headers)
	timed := m.Time.IsZero()
	for i := range m.Headers {
		h := &m.Headers[i]
		timed = timed || h.Key == broker.HeaderTime
		if strings.HasSuffix(h.Key, binSuffix) {
			e.headers[h.Key] = h.Value
		} else {
			e.headers[h.Key] = text(h.Value)
		}
	}
	out = amqp.Publishing{DeliveryMode: amqp.Persistent, Timestamp: now, Headers: e.headers, Body: m.Value}
	if !timed {
		e.headers[headerTime] = m.Time.UnixNano()
	}
	if len(m.ID) <= maxShort {
		out.MessageId = m.ID
	} else {
		e.headers[headerID] = m.ID
	}
	switch {
	case m.Key == nil:
	case routable(m.Key):
		key = text(m.Key)
	default:
		e.headers[headerKey] = m.Key
	}
	return key, out
}

// release forgets the caller's memory.
func (e *encoder) release() { clear(e.headers) }

// routable reports whether a key survives as a routing key.
func routable(key []byte) bool {
	if len(key) == 0 || len(key) > maxShort {
		return false
	}
	for _, c := range key {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// tableBytes is about how many bytes the headers of a message take on the wire,
// where they must fit into one frame.
func tableBytes(m *broker.Message) int {
	n := len(m.Key) + len(m.ID)
	for i := range m.Headers {
		n += len(m.Headers[i].Key) + len(m.Headers[i].Value) + 6
	}
	return n
}

// decode fills a message from its wire form, whose memory it shares. Header
// names are lower-cased, so that foreign producers' Traceparent is found;
// headers that break our rules are mended or dropped, so that what came in can
// be published again.
func decode(in *amqp.Delivery, m *broker.Message) {
	m.ID, m.Value, m.Time = in.MessageId, in.Body, in.Timestamp
	if m.Value == nil {
		m.Value = []byte{}
	}
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	if in.RoutingKey != "" && in.Exchange != "" {
		m.Key = bytesOf(in.RoutingKey)
	}
	m.Headers = make([]broker.Header, 0, len(in.Headers))
	for key, value := range in.Headers {
		switch {
		case key == headerKey:
			m.Key = content(value)
		case key == headerID:
			m.ID = string(content(value))
		case key == headerTime:
			if ns, ok := value.(int64); ok {
				m.Time = time.Unix(0, ns)
			}
		case strings.HasPrefix(key, broker.Reserved) || ofBroker(key) || strings.EqualFold(key, broker.HeaderBrokerUser):
		default:
			m.Headers = appendHeader(m.Headers, key, value)
		}
	}
	if in.UserId != "" { // the broker refuses any other user's
		m.Headers = appendHeader(m.Headers, broker.HeaderBrokerUser, in.UserId)
	}
	if m.ID = strings.TrimSpace(strings.Map(printable, m.ID)); !utf8.ValidString(m.ID) {
		m.ID = strings.ToValidUTF8(m.ID, "\uFFFD")
	}
	slices.SortFunc(m.Headers, func(a, b broker.Header) int { return strings.Compare(a.Key, b.Key) })
	m.Time = broker.TimeOf(m.Headers, m.Time)
}

func printable(r rune) rune {
	if r == '\r' || r == '\n' || r == 0 {
		return ' '
	}
	return r
}

// ofBroker reports whether a header is RabbitMQ's own.
func ofBroker(key string) bool {
	return key == "x-delivery-count" || key == "x-acquired-count" || key == "x-death" || key == "x-received-from" ||
		strings.HasPrefix(key, "x-first-death-") || strings.HasPrefix(key, "x-last-death-")
}

func appendHeader(hs []broker.Header, key string, value any) []broker.Header {
	lower := strings.ToLower(key)
	h := broker.Header{Key: lower, Value: content(value)}
	if broker.ValidHeader(&h) != nil {
		h.Value = []byte(strings.Map(printable, strings.ToValidUTF8(string(h.Value), "\uFFFD")))
		if broker.ValidHeader(&h) != nil {
			return hs
		}
	}
	for i := range hs {
		if hs[i].Key != lower {
			continue
		}
		if key == lower { // the exact name wins over its variants
			hs[i] = h
		}
		return hs
	}
	return append(hs, h)
}

// content is a header's value as bytes.
func content(value any) []byte {
	switch v := value.(type) {
	case string:
		return bytesOf(v)
	case []byte:
		if v == nil {
			return []byte{}
		}
		return v
	case nil:
		return []byte{}
	case time.Time:
		return []byte(v.UTC().Format(time.RFC3339))
	default:
		return fmt.Append(nil, v)
	}
}

// attempt is how often a delivery was made, this one included.
func attempt(in *amqp.Delivery) int {
	switch n := in.Headers["x-delivery-count"].(type) {
	case int64:
		return int(n) + 1
	case int32:
		return int(n) + 1
	}
	if in.Redelivered {
		return 2
	}
	return 1
}

// position identifies a message that has no id, since a queue gives it none: a
// Runner counts the failures of each.
func position(m *broker.Message) string {
	if m.ID != "" {
		return ""
	}
	h := fnv.New64a()
	_, _ = h.Write(m.Value) // never fails
	return "hash:" + strconv.FormatUint(h.Sum64(), 16)
}

// text and bytesOf convert without a copy. That is safe here because both
// sides are read-only by contract: the library writes a publishing before it
// returns, and deliveries are not to be written to.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func bytesOf(s string) []byte {
	if s == "" {
		return []byte{} // not nil: an empty key is a key
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
