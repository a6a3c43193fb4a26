package otlp

import (
	"math"
	"slices"
)

// Scan walks an ExportTraceServiceRequest and reports its spans, checked
// against the rules of lim. It allocates only for what is bad. The error is a
// *MalformedError when b is not a request at all; the report is then empty.
//
// A span is refused that cannot be one: trace_id must have 16 bytes and span_id
// 8, not all zero, parent_span_id none or 8 (all zero means none), and a broker
// message must have room for it. Everything else is kept: what is not UTF-8 or
// above a limit is mended by Split, and a mark says so; times are kept as they
// came, however absurd.
func Scan(b []byte, lim Limits) (Report, error) {
	s := scanner{checker: newChecker(lim)}
	p := s.scan(b, lim.MaxMessage > 0 && len(b) > lim.MaxMessage)
	if p == nil && lim.MaxMessage > 0 && !s.cut && (s.rep.Mended > 0 || s.rep.debris) {
		// Marks may make the request too large for one message: see what
		// becomes of it when that is taken care of.
		s = scanner{checker: s.checker}
		p = s.scan(b, true)
	}
	if p != nil {
		return Report{}, &MalformedError{Field: p.path, Problem: p.rule}
	}
	return s.rep, nil
}

// scanner fills a Report.
type scanner struct {
	checker
	rep   Report
	cut   bool // pieces are held to MaxMessage
	room  int  // bytes a span may take; math.MaxInt unless cut
	first bool // the ids of the first good span are known

	rewrite bool   // mended spans are wanted
	out     []byte // the last mended span
}

func (s *scanner) scan(b []byte, cut bool) *problem {
	s.cut, s.rep.cut = cut, cut
	return s.request(b)
}

func (s *scanner) request(b []byte) *problem {
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
	head, fault := s.envelope(&schema.resourceSpans, ResourceSpansScopeSpans, b)
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
		if p := s.scopeSpans(b[start:end], head, fault, place{rs, scope, -1}); p != nil {
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
func (s *scanner) scopeSpans(b []byte, around head, outer *problem, at place) *problem {
	whole, level := outer, place{at.resource, -1, -1}
	own, p := s.envelope(&schema.scopeSpans, ScopeSpansSpans, b)
	if p != nil && p.malformed {
		return p
	}
	if whole == nil {
		whole, level = p, at
	}
	s.makeRoom(around.size + own.size)
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
			} else if mends := s.mends | around.mends | own.mends; mends != 0 {
				s.rep.mend(mends)
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

// head is what is around spans: all of a message but the inner one.
type head struct {
	size  int
	mends uint8
	out   []byte // how it is after it was mended; nil if it need not be
}

// envelope checks all fields of b but the repeated field inner. The inner
// fields are stepped over, so their frames are read.
func (s *scanner) envelope(m *message, inner int, b []byte) (head, *problem) {
	var h head
	s.mends = 0
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return h, malformed(truncated)
		}
		end := skip(b, next, tag)
		f := m.lookup(tag)
		if end == bad {
			return h, fieldProblem(f, 0, malformed(truncated))
		}
		if f == nil || f.num != inner {
			h.size += end - i
		}
		if f != nil && f.num != inner && f.kind.wire() == wireBytes {
			start, _ := readBytes(b, next)
			if p := s.value(f, b[start:end], 0, 0); p != nil {
				return h, fieldProblem(f, 0, p)
			}
		}
		i = end
	}
	h.mends = s.mends
	return h, s.mendHead(&h, m, inner, b)
}

// mendHead mends an envelope. When the request is cut, an envelope is repeated
// in every message: it may take an eighth of one.
func (s *scanner) mendHead(h *head, m *message, inner int, b []byte) *problem {
	room := math.MaxInt
	if s.cut {
		room = s.lim.MaxMessage / 8
	}
	if h.mends == 0 && h.size <= room {
		return nil
	}
	s.rep.debris = true
	out, mends, ok := s.fit(m, slices.Concat(others(b, uint64(inner))...), room)
	if !ok {
		return s.broken(ResourceTooLarge, "", "takes %d bytes without its spans, at most %d, and cutting its attributes does not help", h.size, room)
	}
	h.out, h.size, h.mends = out, len(out), h.mends|mends
	return nil
}

// makeRoom works out how large a span may be beside envelopes of n bytes.
func (s *scanner) makeRoom(n int) {
	s.room = math.MaxInt
	if s.cut {
		s.room = s.lim.MaxMessage - n - maxFrames
	}
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
