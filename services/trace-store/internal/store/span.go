package store

import (
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/value"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// attr is one attribute: views into the message or the scratch memory of the
// parser.
type attr struct {
	key, text []byte
	letter    byte
}

// list is a list of attributes and their letters (see package value).
type list struct {
	attrs   []attr
	letters []byte
}

func (l *list) reset() { l.attrs, l.letters = l.attrs[:0], l.letters[:0] }

// span holds the fields of one span while it goes from the wire into columns.
type span struct {
	traceID, spanID, parentID []byte
	state, name, message      []byte
	kind, status              uint32
	flags                     uint32
	start, end                uint64
	attrs                     list
	rest                      []byte
	hasStatus                 bool
	events                    []event
	links                     []link
	eventLists, linkLists     []list // reused; one per event or link
}

type event struct {
	time uint64
	name []byte
}

type link struct{ traceID, spanID, state []byte }

func (s *span) reset() {
	attrs, rest := s.attrs, s.rest[:0]
	attrs.reset()
	*s = span{
		attrs: attrs, rest: rest,
		events: s.events[:0], links: s.links[:0],
		eventLists: s.eventLists, linkLists: s.linkLists,
	}
}

// nextList gives the list for the item with this index, emptied.
func nextList(lists *[]list, index int) *list {
	if index == len(*lists) {
		*lists = append(*lists, list{})
	}
	l := &(*lists)[index]
	l.reset()
	return l
}

// parser reads the parts of a request. What it returns points into the request
// and into its scratch memory, which the next span overwrites.
type parser struct {
	scratch []byte
}

// text gives valid UTF-8.
func (p *parser) text(v []byte) []byte {
	if utf8.Valid(v) {
		return v
	}
	v, p.scratch = value.Clean(p.scratch, v)
	return v
}

// attribute appends a KeyValue to l; false means it is malformed.
func (p *parser) attribute(l *list, keyValue []byte) bool {
	if key, text, ok := plainText(keyValue); ok {
		l.attrs = append(l.attrs, attr{key: p.text(key), text: p.text(text), letter: value.String})
		l.letters = append(l.letters, value.String)
		return true
	}
	var a attr
	var val []byte
	present := false
	c := wire.Of(keyValue)
	for c.Next() {
		switch {
		case c.Is(otlp.KeyValueKey, wire.Bytes):
			a.key = p.text(c.V)
		case c.Is(otlp.KeyValueValue, wire.Bytes):
			if present { // protobuf merges repeated messages: so does joining their bytes
				val = append(val[:len(val):len(val)], c.V...)
			} else {
				val, present = c.V, true
			}
		}
	}
	if c.Bad() {
		return false
	}
	a.letter = value.Absent
	if present {
		var err error
		if a.letter, a.text, p.scratch, err = value.Encode(p.scratch, val); err != nil {
			return false
		}
	}
	l.attrs = append(l.attrs, a)
	l.letters = append(l.letters, a.letter)
	return true
}

// plainText takes apart a KeyValue of the form that nearly all have: a key, then
// a string, written the canonical way, both short enough for lengths of one
// byte. It is the fast path of attribute; false only means "look closer".
func plainText(kv []byte) (key, text []byte, ok bool) {
	const (
		keyTag    = otlp.KeyValueKey<<3 | wire.Bytes
		valueTag  = otlp.KeyValueValue<<3 | wire.Bytes
		stringTag = otlp.AnyValueString<<3 | wire.Bytes
		long      = 0x80 // a length that takes more than one byte
	)
	n := len(kv)
	if n < 6 || kv[0] != keyTag || kv[1] >= long {
		return nil, nil, false
	}
	p := 2 + int(kv[1])
	if p+4 > n || kv[p] != valueTag || kv[p+1] >= long || p+2+int(kv[p+1]) != n ||
		kv[p+2] != stringTag || int(kv[p+3])+2 != int(kv[p+1]) {
		return nil, nil, false
	}
	return kv[2:p:p], kv[p+4 : n : n], true
}

// span reads a span into s. It returns "" or the reason to reject it.
func (p *parser) span(s *span, b []byte) string {
	s.reset()
	p.scratch = p.scratch[:0]
	c := wire.Of(b)
	for c.Next() {
		if c.Type == wire.Bytes {
			if !p.spanBytes(s, &c) {
				return Malformed
			}
			continue
		}
		switch {
		case c.Is(otlp.SpanStartTimeUnixNano, wire.Fixed64):
			s.start = c.U
		case c.Is(otlp.SpanEndTimeUnixNano, wire.Fixed64):
			s.end = c.U
		case c.Is(otlp.SpanKind, wire.Varint):
			s.kind = uint32(c.U)
		case c.Is(otlp.SpanFlags, wire.Fixed32):
			s.flags = uint32(c.U)
		case c.Type == wire.Varint && c.U == 0 && (c.Num == otlp.SpanDroppedAttributesCount ||
			c.Num == otlp.SpanDroppedEventsCount || c.Num == otlp.SpanDroppedLinksCount):
			// Zero is the same as absent.
		default:
			s.rest = append(s.rest, c.Raw...)
		}
	}
	if c.Bad() {
		return Malformed
	}
	if s.hasStatus && s.status == 0 && len(s.message) == 0 {
		s.rest = wire.AppendBytes(s.rest, otlp.SpanStatus, "")
	}
	return checkIDs(s)
}

// spanBytes reads a length-delimited field of a span.
func (p *parser) spanBytes(s *span, c *wire.Cursor) bool {
	switch c.Num {
	case otlp.SpanTraceID:
		s.traceID = c.V
	case otlp.SpanSpanID:
		s.spanID = c.V
	case otlp.SpanParentSpanID:
		s.parentID = c.V
	case otlp.SpanTraceState:
		s.state = p.text(c.V)
	case otlp.SpanName:
		s.name = p.text(c.V)
	case otlp.SpanAttributes:
		return p.attribute(&s.attrs, c.V)
	case otlp.SpanEvents:
		return p.event(s, c.V)
	case otlp.SpanLinks:
		return p.link(s, c.V)
	case otlp.SpanStatus:
		return p.status(s, c.V)
	default:
		s.rest = append(s.rest, c.Raw...)
	}
	return true
}

// checkIDs gives the reason to reject a span whose ids could not be stored
// and found again. The door checks the same; this is for what bypasses it.
func checkIDs(s *span) string {
	switch {
	case len(s.traceID) != otlp.TraceIDSize:
		return otlp.TraceIDLength.String()
	case otlp.Zero(s.traceID):
		return otlp.TraceIDZero.String()
	case len(s.spanID) != otlp.SpanIDSize:
		return otlp.SpanIDLength.String()
	case otlp.Zero(s.spanID):
		return otlp.SpanIDZero.String()
	case len(s.parentID) != 0 && len(s.parentID) != otlp.SpanIDSize:
		return otlp.ParentIDLength.String()
	}
	return ""
}

func (p *parser) status(s *span, b []byte) bool {
	s.hasStatus = true
	c := wire.Of(b)
	for c.Next() {
		switch {
		case c.Is(otlp.StatusMessage, wire.Bytes):
			s.message = p.text(c.V)
		case c.Is(otlp.StatusCode, wire.Varint):
			s.status = uint32(c.U)
		}
	}
	return !c.Bad()
}

// event reads an event for its columns, and keeps it in rest as it came.
func (p *parser) event(s *span, b []byte) bool {
	l := nextList(&s.eventLists, len(s.events))
	var e event
	clean := true
	c := wire.Of(b)
	for c.Next() {
		switch {
		case c.Is(otlp.EventTimeUnixNano, wire.Fixed64):
			e.time = c.U
		case c.Is(otlp.EventName, wire.Bytes):
			e.name = p.text(c.V)
			clean = clean && utf8.Valid(c.V)
		case c.Is(otlp.EventAttributes, wire.Bytes):
			if !p.attribute(l, c.V) {
				return false
			}
			clean = clean && value.Valid(c.V)
		}
	}
	s.events = append(s.events, e)
	if !clean {
		b = mended(b, otlp.EventAttributes, l, otlp.EventName, e.name)
	}
	s.rest = wire.AppendBytes(s.rest, otlp.SpanEvents, b)
	return !c.Bad()
}

// link reads a link for its columns, and keeps it in rest as it came.
func (p *parser) link(s *span, b []byte) bool {
	l := nextList(&s.linkLists, len(s.links))
	var k link
	clean := true
	c := wire.Of(b)
	for c.Next() {
		switch {
		case c.Is(otlp.LinkTraceID, wire.Bytes):
			k.traceID = c.V
		case c.Is(otlp.LinkSpanID, wire.Bytes):
			k.spanID = c.V
		case c.Is(otlp.LinkTraceState, wire.Bytes):
			k.state = p.text(c.V)
			clean = clean && utf8.Valid(c.V)
		case c.Is(otlp.LinkAttributes, wire.Bytes):
			if !p.attribute(l, c.V) {
				return false
			}
			clean = clean && value.Valid(c.V)
		}
	}
	s.links = append(s.links, k)
	if !clean {
		b = mended(b, otlp.LinkAttributes, l, otlp.LinkTraceState, k.state)
	}
	s.rest = wire.AppendBytes(s.rest, otlp.SpanLinks, b)
	return !c.Bad()
}

// mended is a message with its attributes and one text written anew, because
// something in them was not UTF-8. All else stays.
func mended(message []byte, attributes int32, l *list, field int32, text []byte) []byte {
	var out []byte
	c := wire.Of(message)
	for c.Next() {
		if !c.Is(attributes, wire.Bytes) && !c.Is(field, wire.Bytes) {
			out = append(out, c.Raw...)
		}
	}
	return appendAttributes(wire.AppendString(out, field, text), attributes, l)
}

// appendAttributes writes a list as repeated KeyValue fields.
func appendAttributes(dst []byte, field int32, l *list) []byte {
	for _, a := range l.attrs {
		// No error: Encode has made letter and text.
		if kv, err := value.AppendKeyValue(nil, string(a.key), a.letter, string(a.text)); err == nil {
			dst = wire.AppendBytes(dst, field, kv)
		}
	}
	return dst
}
