package otlp

import (
	"math"
	"time"
)

// Scan walks an ExportTraceServiceRequest and reports its spans, checked
// against the rules of lim at the time now. It allocates only for what is bad.
// The error is a *MalformedError when b is not a request at all; the report is
// then empty.
//
// The rules for a span: trace_id 16 bytes and span_id 8 bytes, not all zero;
// parent_span_id empty or 8 bytes (all zero means none); a start, an end not
// before it, both in range; every string UTF-8; attributes, events and links
// within lim; small enough for a broker message together with its resource and
// scope.
func Scan(b []byte, now time.Time, lim Limits) (Report, error) {
	s := scanner{checker: newChecker(now, lim)}
	if p := s.request(b); p != nil {
		return Report{}, &MalformedError{Field: p.path, Problem: p.rule}
	}
	return s.rep, nil
}

// scanner fills a Report.
type scanner struct {
	checker
	rep   Report
	cut   bool // the request does not fit in one message
	room  int  // bytes a span may take; math.MaxInt unless cut
	first bool // the ids of the first good span are known
}

func (s *scanner) request(b []byte) *problem {
	s.cut = s.lim.MaxMessage > 0 && len(b) > s.lim.MaxMessage
	index := 0
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return malformed(truncated)
		}
		if tag != RequestResourceSpans<<3|wireBytes {
			if i = skip(b, next, tag); i == bad {
				return malformed(truncated)
			}
			continue
		}
		start, end := readBytes(b, next)
		if start == bad {
			return malformed(truncated).at("resource_spans", index)
		}
		if p := s.resourceSpans(b[start:end], index); p != nil {
			return p.at("resource_spans", index)
		}
		index++
		i = end
	}
	return nil
}

// resourceSpans returns only problems of the wire.
func (s *scanner) resourceSpans(b []byte, rs int) *problem {
	envelope, fault := s.envelope(&schema.resourceSpans, ResourceSpansScopeSpans, b)
	if fault != nil && fault.malformed {
		return fault
	}
	scope := 0
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if tag != ResourceSpansScopeSpans<<3|wireBytes {
			i = skip(b, next, tag)
			continue
		}
		start, end := readBytes(b, next)
		if p := s.scopeSpans(b[start:end], envelope, fault, place{rs, scope, -1}); p != nil {
			return p.at("scope_spans", scope)
		}
		scope++
		i = end
	}
	if fault != nil && scope == 0 {
		s.rep.debris = true
	}
	return nil
}

// place is where in a request a span stands; -1 is above that level.
type place struct{ resource, scope, span int }

// scopeSpans checks a scope and its spans. outer is what is wrong with the
// resource: then every span here is bad.
func (s *scanner) scopeSpans(b []byte, outerSize int, outer *problem, at place) *problem {
	whole, level := outer, place{at.resource, -1, -1}
	if whole == nil || s.cut {
		size, p := s.envelope(&schema.scopeSpans, ScopeSpansSpans, b)
		if p != nil && p.malformed {
			return p
		}
		if whole == nil {
			whole, level = p, at
		}
		if whole == nil {
			whole = s.makeRoom(outerSize + size)
		}
	}
	before := s.rep.Spans
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return malformed(truncated)
		}
		if tag != ScopeSpansSpans<<3|wireBytes {
			if i = skip(b, next, tag); i == bad {
				return malformed(truncated)
			}
			continue
		}
		start, end := readBytes(b, next)
		at.span++
		if start == bad {
			return malformed(truncated).at("spans", at.span)
		}
		s.rep.Spans++
		if whole == nil {
			if p := s.span(b[start:end]); p != nil {
				if p.malformed {
					return p.at("spans", at.span)
				}
				s.reject(p, at, 1)
			}
		}
		i = end
	}
	if whole == nil {
		return nil
	}
	if n := s.rep.Spans - before; n > 0 {
		s.reject(whole, level, n)
	} else {
		s.rep.debris = true
	}
	return nil
}

// envelope checks all fields of b but the repeated field inner, and returns
// their size. The inner fields are stepped over, so their frames are read.
func (c *checker) envelope(m *message, inner int, b []byte) (int, *problem) {
	size := 0
	var broken *problem
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return 0, malformed(truncated)
		}
		end := skip(b, next, tag)
		f := m.lookup(tag)
		if end == bad {
			return 0, fieldProblem(f, 0, malformed(truncated))
		}
		if f == nil || f.num != inner {
			size += end - i
		}
		if f != nil && f.num != inner && broken == nil {
			start, _ := readBytes(b, next)
			if p := c.value(f, b[start:end], 0, 0); p != nil {
				if p = fieldProblem(f, 0, p); p.malformed {
					return 0, p
				}
				broken = p
			}
		}
		i = end
	}
	return size, broken
}

// makeRoom works out how large a span may be beside an envelope of n bytes.
// An envelope that takes more than a quarter of a message is refused, as it is
// repeated in every message that the request is cut into.
func (s *scanner) makeRoom(n int) *problem {
	s.room = math.MaxInt
	if !s.cut {
		return nil
	}
	if n > s.lim.MaxMessage/4 {
		return s.broken(ResourceTooLarge, "", "resource and scope take %d bytes, more than a quarter of a message of %d", n, s.lim.MaxMessage)
	}
	s.room = s.lim.MaxMessage - n - maxFrames
	return nil
}

// maxFrames is what tags and lengths around the resource spans, the scope
// spans and the span take at most.
const maxFrames = 3 * 6

// reject counts n spans as bad and describes the problem if there is room.
func (s *scanner) reject(p *problem, at place, n int) {
	s.rep.Rejected += n
	s.rep.ByReason[p.reason] += n
	if p.terse {
		return
	}
	if at.span >= 0 {
		p.at("spans", at.span)
	}
	if at.scope >= 0 {
		p.at("scope_spans", at.scope)
	}
	p.at("resource_spans", at.resource)
	s.rep.Violations = append(s.rep.Violations, Violation{Reason: p.reason, Field: p.path, Rule: p.rule, Spans: n})
	s.terse = len(s.rep.Violations) >= MaxViolations
}
