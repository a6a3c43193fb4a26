package kafka

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

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

// record is a message as it was fetched. It owns its memory.
type record struct {
	offset  int64
	time    time.Time
	key     []byte // nil is none
	value   []byte
	headers []protocol.Header
}

func (r *record) size() int {
	n := len(r.value) + len(r.key)
	for i := range r.headers {
		n += len(r.headers[i].Key) + len(r.headers[i].Value) + 4
	}
	return n
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

func appendHeader(hs []broker.Header, in *protocol.Header) []broker.Header {
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

// chunk is how much memory small records share.
const chunk = 128 << 10

// reader copies records out of a response.
type reader struct{ arena []byte }

// bytes reads b into memory of our own; nil stays nil.
func (r *reader) bytes(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	n := b.Len()
	if n > chunk/8 {
		out := make([]byte, n)
		_, err := io.ReadFull(b, out)
		return out, err
	}
	if len(r.arena) < n || r.arena == nil {
		r.arena = make([]byte, chunk)
	}
	out := r.arena[:n:n]
	r.arena = r.arena[n:]
	_, err := io.ReadFull(b, out)
	return out, err
}

// records reads what a fetch response holds from offset on, and returns the
// offset after it.
func (r *reader) records(in protocol.RecordReader, offset int64) (out []record, next int64, err error) {
	next = offset
	batches := []protocol.RecordReader{in}
	if stream, ok := in.(*protocol.RecordStream); ok {
		batches = stream.Records
	}
	for _, batch := range batches {
		_, control := batch.(*protocol.ControlBatch) // a transaction's end
		for {
			rec, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return out, next, err
			}
			if rec.Offset < next {
				discard(rec)
				continue // the batch began before what was asked for
			}
			next = rec.Offset + 1
			if control {
				discard(rec)
				continue
			}
			kept, err := r.record(rec)
			if err != nil {
				return out, rec.Offset, err
			}
			out = append(out, kept)
		}
	}
	return out, next, nil
}

func (r *reader) record(in *protocol.Record) (out record, err error) {
	out = record{offset: in.Offset, time: in.Time, headers: in.Headers}
	if out.key, err = r.bytes(in.Key); err != nil {
		return out, err
	}
	if out.value, err = r.bytes(in.Value); err != nil {
		return out, err
	}
	if out.value == nil {
		out.value = []byte{}
	}
	return out, nil
}

// discard frees what a record refers to.
func discard(r *protocol.Record) {
	for _, b := range []protocol.Bytes{r.Key, r.Value} {
		if b != nil {
			_ = b.Close() // memory only
		}
	}
}
