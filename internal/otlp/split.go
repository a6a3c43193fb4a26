package otlp

import (
	"iter"
	"slices"
)

// Piece is one message that a request was cut into.
type Piece struct {
	Value []byte // a whole ExportTraceServiceRequest; the receiver owns it
	Spans int
}

// Split rewrites a request that Scan has accepted with the report rep and the
// same lim: spans that are refused are left out, others mended, and what
// remains is cut between spans into pieces of at most lim.MaxMessage bytes,
// each with the resource and scope of its spans. Order is kept. Resources and
// scopes without a good span, and fields of the request itself that OTLP does
// not know, are dropped.
//
// A request that nothing has to be mended in makes pieces that together are
// less than twice as long; Report.Growth bounds all others.
func Split(b []byte, lim Limits, rep *Report) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		s := splitter{scanner: scanner{checker: newChecker(lim), cut: rep.cut, rewrite: true}, yield: yield}
		s.terse = true
		if s.request(b) {
			s.flush()
		}
	}
}

// splitter collects parts of the source until a piece is full. The parts are
// slices of the source; only flush copies.
type splitter struct {
	scanner
	yield func(Piece) bool

	done  []part // finished resource spans
	size  int    // their framed size
	spans int    // good spans since the last flush
	res   part   // the resource spans being filled, with its scopes
	scope part   // the scope spans being filled
}

// part is the body of a message to be written: ranges of the source, and
// messages inside it.
type part struct {
	raw   [][]byte // fields copied as they are
	inner []part   // length-delimited fields after them
	size  int      // of the body
	used  bool     // holds a span
}

// with is the size of the body once a field of n bytes is added to it.
func (p *part) with(n int) int { return p.size + frameSize(n) }

func (s *splitter) request(b []byte) bool {
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return false
		}
		end := skip(b, next, tag)
		if end == bad {
			return false
		}
		if tag == RequestResourceSpans<<3|wireBytes {
			start, _ := readBytes(b, next)
			if !s.resourceSpans(b[start:end]) {
				return false
			}
		}
		i = end
	}
	return true
}

func (s *splitter) resourceSpans(b []byte) bool {
	h, p := s.envelope(&schema.resourceSpans, ResourceSpansScopeSpans, b)
	if p != nil {
		return !p.malformed // every span here is bad
	}
	outer := h.part(b, ResourceSpansScopeSpans)
	s.res = outer
	for v := range fields(b, ResourceSpansScopeSpans) {
		if !s.scopeSpans(v.body, outer) {
			return false
		}
	}
	s.closeResource()
	return true
}

// part begins a part with the envelope around the fields inner of b.
func (h *head) part(b []byte, inner uint64) part {
	if h.out != nil {
		return part{raw: [][]byte{h.out}, size: h.size}
	}
	return part{raw: others(b, inner), size: h.size}
}

func (s *splitter) scopeSpans(b []byte, outer part) bool {
	h, p := s.envelope(&schema.scopeSpans, ScopeSpansSpans, b)
	if p != nil {
		return !p.malformed
	}
	s.makeRoom(outer.size + h.size)
	inner := h.part(b, ScopeSpansSpans)
	s.scope = inner
	for v := range fields(b, ScopeSpansSpans) {
		s.out = nil
		if p := s.span(v.body); p != nil {
			if p.malformed {
				return false
			}
			continue
		}
		framed := v.framed
		if s.out != nil {
			framed = append(appendFrame(make([]byte, 0, frameSize(len(s.out))), ScopeSpansSpans, len(s.out)), s.out...)
		}
		if s.cut && s.total(len(framed)) > s.lim.MaxMessage {
			s.closeScope()
			s.closeResource()
			if !s.flush() {
				return false
			}
			s.res, s.scope = outer, inner
		}
		s.addSpan(framed)
	}
	s.closeScope()
	return true
}

// addSpan adds a framed span to the open scope. Neighbours in the source
// become one range.
func (s *splitter) addSpan(framed []byte) {
	s.spans++
	p := &s.scope
	p.used = true
	p.size += len(framed)
	if n := len(p.raw); n > 0 {
		last := p.raw[n-1]
		if end := len(last); cap(last)-end >= len(framed) && &last[:end+1][end] == &framed[0] {
			p.raw[n-1] = last[:end+len(framed)]
			return
		}
	}
	p.raw = append(p.raw, framed)
}

// total is the size of the piece if n more bytes of spans were added to it.
func (s *splitter) total(n int) int {
	return s.size + frameSize(s.res.with(s.scope.size+n))
}

func (s *splitter) closeScope() {
	if s.scope.used {
		s.res.size = s.res.with(s.scope.size)
		s.res.inner = append(s.res.inner, s.scope)
	}
	s.scope = part{}
}

func (s *splitter) closeResource() {
	if s.res.inner != nil {
		s.size += frameSize(s.res.size)
		s.done = append(s.done, s.res)
	}
	s.res = part{}
}

// flush hands over what is done and starts anew; false ends the work.
func (s *splitter) flush() bool {
	if s.spans == 0 {
		return true
	}
	out := make([]byte, 0, s.size)
	for i := range s.done {
		out = appendFrame(out, RequestResourceSpans, s.done[i].size)
		out = s.done[i].appendTo(out)
	}
	piece := Piece{Value: out, Spans: s.spans}
	s.done, s.size, s.spans = s.done[:0], 0, 0
	return s.yield(piece)
}

// appendTo writes resource spans with their scope spans.
func (p *part) appendTo(out []byte) []byte {
	for _, r := range p.raw {
		out = append(out, r...)
	}
	for i := range p.inner {
		out = appendFrame(out, ResourceSpansScopeSpans, p.inner[i].size)
		out = p.inner[i].appendTo(out)
	}
	return out
}

// occurrence is one occurrence of a length-delimited field.
type occurrence struct {
	framed []byte // with tag and length
	body   []byte
}

// fields yields the occurrences of field num in a readable message.
func fields(b []byte, num uint64) iter.Seq[occurrence] {
	return func(yield func(occurrence) bool) {
		for i := 0; i < len(b); {
			tag, next := readTag(b, i)
			if next == bad {
				return
			}
			end := skip(b, next, tag)
			if end == bad {
				return
			}
			if tag == num<<3|wireBytes {
				start, _ := readBytes(b, next)
				if !yield(occurrence{b[i:end], b[start:end]}) {
					return
				}
			}
			i = end
		}
	}
}

// others lists the framed fields of a readable message but those of field num.
func others(b []byte, num uint64) [][]byte {
	var out [][]byte
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return out
		}
		end := skip(b, next, tag)
		if end == bad {
			return out
		}
		if tag != num<<3|wireBytes {
			out = append(out, b[i:end:end])
		}
		i = end
	}
	return slices.Clip(out) // copies of it grow apart
}
