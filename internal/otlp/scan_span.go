package otlp

import "encoding/binary"

// spanFacts are the fields of a span that rules compare.
type spanFacts struct {
	traceID, spanID, parent   []byte
	attributes, events, links int
}

// span checks one span; it is the hot loop of the door, so tags and lengths of
// one byte are read in place. Afterwards s.mends says what is to be mended.
func (s *scanner) span(b []byte) *problem {
	s.mends = 0
	var facts spanFacts
	for i := 0; i < len(b); {
		tag, next := uint64(b[i]), i+1
		if tag >= 0x80 || tag < 8 {
			if tag, next = readTag(b, i); next == bad {
				return malformed(truncated)
			}
		}
		if tag&7 != wireBytes {
			if i = number(b, next, tag); i == bad {
				return malformed(truncated)
			}
			continue
		}
		var start, end int
		if next < len(b) && b[next] < 0x80 && next+1+int(b[next]) <= len(b) {
			start, end = next+1, next+1+int(b[next])
		} else if start, end = readBytes(b, next); start == bad {
			return fieldProblem(schema.span.lookup(tag), 0, malformed(truncated))
		}
		if tag == SpanAttributes<<3|wireBytes && end-start <= int(s.lim.MaxAttributeBytes) &&
			facts.attributes < s.lim.MaxAttributes && plainAttribute(b[start:end]) {
			facts.attributes++
		} else if p := s.spanField(&facts, tag>>3, b[start:end]); p != nil {
			return p
		}
		i = end
	}
	if p := s.ids(&facts); p != nil {
		return p
	}
	if s.mends != 0 || len(b) > s.room {
		if p := s.mended(b); p != nil {
			return p
		}
	}
	if !s.first {
		s.first = true
		copy(s.rep.TraceID[:], facts.traceID)
		copy(s.rep.SpanID[:], facts.spanID)
	}
	return nil
}

// mended sees whether a span can be mended so that a message has room for it,
// and keeps the result for a splitter.
func (s *scanner) mended(b []byte) *problem {
	s.out = nil
	if !s.rewrite && len(b) <= s.room && !s.cut {
		return nil // it is enough to know that it has to be
	}
	out, mends, ok := s.fit(&schema.span, b, s.room)
	if !ok {
		return s.broken(SpanTooLarge, "", "is %d bytes, at most %d fit into a message, and cutting its attributes does not help", len(b), s.room)
	}
	s.out, s.mends = out, s.mends|mends
	return nil
}

// number steps over a field that is not length-delimited and returns the index
// after it, or bad.
func number(b []byte, i int, tag uint64) int {
	switch {
	case tag&7 == wireFixed64 && i+8 <= len(b):
		return i + 8
	case tag == SpanFlags<<3|wireFixed32 && i+4 <= len(b):
		return i + 4
	case tag&7 == wireVarint && i < len(b) && b[i] < 0x80:
		return i + 1
	}
	return skip(b, i, tag)
}

// spanField checks a length-delimited field of a span.
func (s *scanner) spanField(f *spanFacts, num uint64, v []byte) *problem {
	switch num {
	case SpanTraceID:
		f.traceID = v
	case SpanSpanID:
		f.spanID = v
	case SpanParentSpanID:
		f.parent = v
	case SpanName, SpanTraceState:
		if !text(v) {
			s.mend(TextReplaced)
		}
	case SpanAttributes:
		if s.lim.beyond(v, f.attributes) {
			s.mend(AttributesDropped)
			return nil
		}
		if p := s.attribute(v, 0); p != nil {
			return p.at("attributes", f.attributes)
		}
		f.attributes++
	case SpanStatus:
		if len(v) == 2 && v[0] == StatusCode<<3|wireVarint && v[1] < 0x80 {
			return nil // a code and no message, as nearly always
		}
		if p := s.message(&schema.status, v, 0); p != nil {
			return p.in("status")
		}
	case SpanEvents:
		if p := s.message(&schema.event, v, 0); p != nil {
			return p.at("events", f.events)
		}
		f.events++
	case SpanLinks:
		if p := s.message(&schema.link, v, 0); p != nil {
			return p.at("links", f.links)
		}
		f.links++
	}
	return nil
}

func (c *checker) ids(f *spanFacts) *problem {
	traceID, spanID, parent := f.traceID, f.spanID, f.parent
	switch {
	case len(traceID) != TraceIDSize:
		return c.broken(TraceIDLength, "trace_id", "must be %d bytes, is %d", TraceIDSize, len(traceID))
	case binary.LittleEndian.Uint64(traceID)|binary.LittleEndian.Uint64(traceID[8:]) == 0:
		return c.broken(TraceIDZero, "trace_id", "must not be all zero")
	case len(spanID) != SpanIDSize:
		return c.broken(SpanIDLength, "span_id", "must be %d bytes, is %d", SpanIDSize, len(spanID))
	case binary.LittleEndian.Uint64(spanID) == 0:
		return c.broken(SpanIDZero, "span_id", "must not be all zero")
	case len(parent) != 0 && len(parent) != SpanIDSize:
		return c.broken(ParentIDLength, "parent_span_id", "must be empty or %d bytes, is %d", SpanIDSize, len(parent))
	}
	return nil
}
