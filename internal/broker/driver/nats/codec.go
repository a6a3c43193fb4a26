package nats

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Headers of our own; broker.Reserved keeps callers off them.
const (
	headerKey    = broker.Reserved + "key"     // ordering key, as text
	headerKeyBin = broker.Reserved + "key-bin" // ordering key, in base64
	headerB64    = broker.Reserved + "b64"     // names of headers whose value is in base64
	headerTime   = broker.Reserved + "time"    // producer's time, Unix nanoseconds; absent beside driftmesh-time
)

const binSuffix = "-bin"

// encoder builds NATS messages one after the other in the same memory. The
// message it returns is valid until the next call.
type encoder struct {
	msg    nats.Msg
	values []string
}

// encode turns a message into its wire form. It refers to the memory of m.
func (e *encoder) encode(m *broker.Message, subject, reply string) *nats.Msg {
	if e.msg.Header == nil {
		e.msg.Header = nats.Header{}
	}
	clear(e.msg.Header)
	e.values = slices.Grow(e.values[:0], len(m.Headers)+4)
	e.msg.Subject, e.msg.Reply, e.msg.Data = subject, reply, m.Value
	var coded []string
	timed := m.Time.IsZero()
	for i := range m.Headers {
		h := &m.Headers[i]
		timed = timed || h.Key == broker.HeaderTime
		switch {
		case strings.HasSuffix(h.Key, binSuffix):
			e.set(h.Key, base64.StdEncoding.EncodeToString(h.Value))
		case trimmed(h.Value):
			e.set(h.Key, base64.StdEncoding.EncodeToString(h.Value))
			coded = append(coded, h.Key)
		default:
			e.set(h.Key, text(h.Value))
		}
	}
	if coded != nil {
		e.set(headerB64, strings.Join(coded, ","))
	}
	if !timed {
		e.set(headerTime, strconv.FormatInt(m.Time.UnixNano(), 10))
	}
	if m.ID != "" {
		e.set(nats.MsgIdHdr, m.ID)
	}
	switch {
	case m.Key == nil:
	case printable(m.Key):
		e.set(headerKey, text(m.Key))
	default:
		e.set(headerKeyBin, base64.StdEncoding.EncodeToString(m.Key))
	}
	return &e.msg
}

// release forgets the caller's memory.
func (e *encoder) release() {
	clear(e.msg.Header)
	clear(e.values)
	e.msg.Data, e.msg.Subject, e.msg.Reply = nil, "", ""
}

func (e *encoder) set(key, value string) {
	e.values = append(e.values, value)
	n := len(e.values)
	e.msg.Header[key] = e.values[n-1 : n : n]
}

// trimmed reports whether NATS would cut blanks off a value.
func trimmed(v []byte) bool {
	return len(v) > 0 && (blank(v[0]) || blank(v[len(v)-1]))
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// printable reports whether a key is text that survives as a header.
func printable(v []byte) bool {
	for _, c := range v {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return !trimmed(v)
}

// decode fills a message from its wire form, whose memory it shares; stored is
// when the server stored it. Header
// names are lower-cased, so that foreign producers' Traceparent is found;
// headers that break our rules are mended or dropped, so that what came in can
// be published again.
func decode(in *nats.Msg, m *broker.Message, stored time.Time) {
	m.Time = stored
	m.Value = in.Data
	if m.Value == nil {
		m.Value = []byte{}
	}
	coded := in.Header[headerB64]
	m.Headers = make([]broker.Header, 0, len(in.Header))
	for key, values := range in.Header {
		if len(values) == 0 {
			continue
		}
		switch {
		case key == nats.MsgIdHdr:
			m.ID = values[0]
		case key == headerKey:
			m.Key = bytesOf(values[0])
		case key == headerKeyBin:
			m.Key, _ = base64.StdEncoding.DecodeString(values[0])
		case key == headerTime:
			if ns, err := strconv.ParseInt(values[0], 10, 64); err == nil {
				m.Time = time.Unix(0, ns)
			}
		case strings.HasPrefix(key, "Nats-") || strings.HasPrefix(key, broker.Reserved):
		default:
			m.Headers = appendHeader(m.Headers, key, values[0], coded)
		}
	}
	slices.SortFunc(m.Headers, func(a, b broker.Header) int { return strings.Compare(a.Key, b.Key) })
	m.Time = broker.TimeOf(m.Headers, m.Time)
}

func appendHeader(hs []broker.Header, key, value string, coded []string) []broker.Header {
	lower := strings.ToLower(key)
	h := broker.Header{Key: lower, Value: bytesOf(value)}
	if strings.HasSuffix(lower, binSuffix) || len(coded) > 0 && listed(coded[0], lower) {
		if v, err := base64.StdEncoding.DecodeString(value); err == nil {
			h.Value = v
		}
	}
	if broker.ValidHeader(&h) != nil {
		h.Value = []byte(strings.ReplaceAll(strings.ToValidUTF8(value, "\uFFFD"), "\x00", " "))
		if !utf8.ValidString(lower) || broker.ValidHeader(&h) != nil {
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

func listed(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == name {
			return true
		}
	}
	return false
}

// text and bytesOf convert without a copy. That is safe here because both
// sides are read-only by contract: nats.go copies a header before PublishMsg
// returns, and deliveries are not to be written to.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func bytesOf(s string) []byte {
	if s == "" {
		return []byte{} // not nil: an empty key is a key
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
