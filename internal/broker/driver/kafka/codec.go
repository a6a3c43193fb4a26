package kafka

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Headers of our own; broker.Reserved keeps callers off them.
const (
	headerID   = broker.Reserved + "id"   // message id
	headerTime = broker.Reserved + "time" // producer's time, Unix nanoseconds; absent beside driftmesh-time
)

// frame is the room that a record and its batch take beside Message.Size.
const frame = 1 << 10

// slab is memory for the messages of one flight, which the writer may hold for
// longer than Publish may take: so everything is copied.
type slab struct {
	bytes   []byte
	headers []kafkago.Header
	msgs    []kafkago.Message
}

// slabMost is how large a slab may be that is kept for the next flight.
const slabMost = 4 << 20

// reset makes room for the messages at idx.
func (s *slab) reset(msgs []broker.Message, idx []int) {
	size, headers := 0, 0
	for _, i := range idx {
		size += msgs[i].Size() + timeBytes
		headers += len(msgs[i].Headers) + 2
	}
	s.bytes = slices.Grow(s.bytes[:0], size)
	s.headers = slices.Grow(s.headers[:0], headers)
	s.msgs = slices.Grow(s.msgs[:0], len(idx))
}

// timeBytes is room for a time in decimal digits.
const timeBytes = 20

func keep[T []byte | string](s *slab, b T) []byte {
	n := len(s.bytes)
	s.bytes = append(s.bytes, b...)
	return s.bytes[n:len(s.bytes):len(s.bytes)]
}

// add turns a message into its wire form.
func (s *slab) add(m *broker.Message, lane int, now time.Time) {
	out := kafkago.Message{Value: keep(s, m.Value), WriterData: lane, Time: now}
	if m.Key != nil {
		out.Key = keep(s, m.Key)
	}
	first := len(s.headers)
	timed := m.Time.IsZero()
	for i := range m.Headers {
		h := &m.Headers[i]
		timed = timed || h.Key == broker.HeaderTime
		s.headers = append(s.headers, kafkago.Header{Key: h.Key, Value: keep(s, h.Value)})
	}
	if m.ID != "" {
		s.headers = append(s.headers, kafkago.Header{Key: headerID, Value: keep(s, m.ID)})
	}
	if !timed {
		at := strconv.FormatInt(m.Time.UnixNano(), 10)
		s.headers = append(s.headers, kafkago.Header{Key: headerTime, Value: keep(s, at)})
	}
	out.Headers = s.headers[first:len(s.headers):len(s.headers)]
	s.msgs = append(s.msgs, out)
}

// decode fills a message from its wire form, whose memory it shares. Header
// names are lower-cased, so that foreign producers' Traceparent is found;
// headers that break our rules are mended or dropped, so that what came in can
// be published again.
func decode(r *record, m *broker.Message) {
	m.Key, m.Value, m.Time = r.key, r.value, r.time
	m.Headers = make([]broker.Header, 0, len(r.headers))
	for i := range r.headers {
		h := &r.headers[i]
		switch {
		case h.Key == headerID:
			m.ID = strings.TrimSpace(strings.Map(mend, strings.ToValidUTF8(string(h.Value), "\uFFFD")))
		case h.Key == headerTime:
			if ns, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				m.Time = time.Unix(0, ns)
			}
		case strings.HasPrefix(h.Key, broker.Reserved):
		default:
			m.Headers = appendHeader(m.Headers, h)
		}
	}
	m.Time = broker.TimeOf(m.Headers, m.Time)
}

func appendHeader(hs []broker.Header, in *kmsg.Header) []broker.Header {
	h := broker.Header{Key: strings.ToLower(in.Key), Value: in.Value}
	if h.Value == nil {
		h.Value = []byte{}
	}
	if broker.ValidHeader(&h) != nil {
		mended := strings.ToValidUTF8(string(in.Value), "\uFFFD")
		h.Value = []byte(strings.Map(mend, mended))
		if !utf8.ValidString(h.Key) || broker.ValidHeader(&h) != nil {
			return hs
		}
	}
	i := slices.IndexFunc(hs, func(o broker.Header) bool { return o.Key == h.Key })
	if i < 0 {
		return append(hs, h)
	}
	if in.Key == h.Key { // the exact name wins over its variants, and the last over the first
		hs[i] = h
	}
	return hs
}

// mend replaces what a header may not hold.
func mend(r rune) rune {
	if r == '\r' || r == '\n' || r == 0 {
		return ' '
	}
	return r
}
