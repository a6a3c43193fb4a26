package otlp

import (
	"fmt"
	"unicode/utf8"
)

// problem is a broken rule or a wire that cannot be read, with the path of the
// field it was met in. Callers prepend their own segment on the way out.
type problem struct {
	malformed bool
	terse     bool // no text wanted: only the reason counts
	reason    Reason
	path      string
	rule      string
}

// in prepends a segment to the path.
func (p *problem) in(segment string) *problem {
	if p.terse {
		return p
	}
	if p.path == "" {
		p.path = segment
	} else {
		p.path = segment + "." + p.path
	}
	return p
}

// at prepends a segment with an index to the path.
func (p *problem) at(segment string, index int) *problem {
	if p.terse {
		return p
	}
	return p.in(fmt.Sprintf("%s[%d]", segment, index))
}

// checker checks parts of a request against the rules. It is not safe for
// concurrent use.
type checker struct {
	lim   Limits
	terse bool  // problems need no text
	mends uint8 // rules broken that are mended, a bit for each Mend; whoever asks sets it to zero first
}

func newChecker(lim Limits) checker { return checker{lim: lim.withDefaults()} }

// mend notes a broken rule that does not cost the span.
func (c *checker) mend(m Mend) { c.mends |= 1 << m }

// broken makes the problem of a broken rule.
func (c *checker) broken(r Reason, path, rule string, args ...any) *problem {
	if c.terse {
		return &terseProblems[r]
	}
	return &problem{reason: r, path: path, rule: fmt.Sprintf(rule, args...)}
}

// terseProblems are the problems without text, one per reason; read only.
var terseProblems = func() (all [reasonCount]problem) {
	for r := range all {
		all[r] = problem{terse: true, reason: Reason(r)}
	}
	return all
}()

// malformed makes the problem of bytes that are not protobuf.
func malformed(rule string) *problem { return &problem{malformed: true, rule: rule} }

const truncated = "is truncated or not valid protobuf"

// attribute checks one KeyValue. depth counts the arrays and maps around it.
func (c *checker) attribute(kv []byte, depth int) *problem {
	if len(kv) > int(c.lim.MaxAttributeBytes) {
		c.mend(AttributeCut)
	}
	if plainAttribute(kv) {
		return nil
	}
	return c.message(&schema.keyValue, kv, depth)
}

// message checks a message by its schema: that the wire can be read, and what
// of it has to be mended.
func (c *checker) message(m *message, b []byte, depth int) *problem {
	if m == &schema.array || m == &schema.kvlist {
		if depth++; depth > MaxDepth {
			c.mend(NestingCut)
			return nil // nobody looks into what is left out
		}
	}
	var counts [SpanFlags + 1]int
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return malformed(truncated)
		}
		f := m.lookup(tag)
		if f == nil || f.kind.wire() != wireBytes {
			if i = skip(b, next, tag); i == bad {
				return fieldProblem(f, 0, malformed(truncated))
			}
			continue
		}
		start, end := readBytes(b, next)
		index := counts[f.num]
		counts[f.num]++
		if start == bad {
			return fieldProblem(f, index, malformed(truncated))
		}
		if p := c.value(f, b[start:end], index, depth); p != nil {
			return fieldProblem(f, index, p)
		}
		i = end
	}
	if m == &schema.link && !goodLink(b) {
		c.mend(LinkDropped)
	}
	return nil
}

// value checks the value of a length-delimited field.
func (c *checker) value(f *field, v []byte, index, depth int) *problem {
	switch {
	case f.kind == kindString:
		if !text(v) {
			c.mend(TextReplaced)
		}
	case f.msg == &schema.keyValue:
		if c.lim.beyond(v, index) {
			c.mend(AttributesDropped)
			return nil
		}
		return c.attribute(v, depth)
	case f.kind == kindMessage:
		return c.message(f.msg, v, depth)
	}
	return nil
}

// beyond reports whether an attribute is one too many. A mark may stand behind
// the last that is allowed: mending is done once.
func (l *Limits) beyond(kv []byte, index int) bool {
	return index > l.MaxAttributes || index == l.MaxAttributes && string(keyOf(kv)) != MarkMended
}

// fieldProblem adds the field's name to the path of p; f may be nil.
func fieldProblem(f *field, index int, p *problem) *problem {
	switch {
	case f == nil:
		return p
	case f.repeated:
		return p.at(f.name, index)
	}
	return p.in(f.name)
}

// goodLink reports whether the ids of a link, whose wire is readable, are ids.
// The OpenTelemetry API allows a link with empty ids as long as it says
// something else.
func goodLink(b []byte) bool {
	var trace, span []byte
	var says bool
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if tag&7 != wireBytes {
			i = skip(b, next, tag)
			continue
		}
		start, end := readBytes(b, next)
		switch tag >> 3 {
		case LinkTraceID:
			trace = b[start:end]
		case LinkSpanID:
			span = b[start:end]
		case LinkTraceState, LinkAttributes:
			says = says || end > start
		}
		i = end
	}
	if len(trace) != 0 && len(trace) != TraceIDSize || len(span) != 0 && len(span) != SpanIDSize {
		return false
	}
	return says || !Zero(trace) && !Zero(span)
}

// Zero reports whether all of an id is zero; the empty one is.
func Zero(id []byte) bool {
	for _, c := range id {
		if c != 0 {
			return false
		}
	}
	return true
}

// plainAttribute reports whether kv is the KeyValue nearly all are: key, then
// a string, bool, integer or double, written the canonical way, all text
// ASCII. It is the fast path of attribute; false only means "look closer".
func plainAttribute(kv []byte) bool {
	n := len(kv)
	if n < 4 || kv[0] != KeyValueKey<<3|wireBytes || kv[1] >= 0x80 {
		return false
	}
	p := 2 + int(kv[1]) // after the key
	if p+3 >= n || kv[p] != KeyValueValue<<3|wireBytes {
		return false
	}
	if v := int(kv[p+1]); v < 0x80 {
		if p+2+v != n {
			return false
		}
		p += 2
	} else {
		if kv[p+2] >= 0x80 || p+3+(v&0x7f|int(kv[p+2])<<7) != n || p+4 >= n {
			return false
		}
		p += 3
	}
	// kv[p:] is the AnyValue.
	switch kv[p] {
	case AnyValueString<<3 | wireBytes:
		return plainString(kv, p+1)
	case AnyValueBool<<3 | wireVarint:
		return p+2 == n && kv[p+1] < 0x80 && ascii(kv[2:p])
	case AnyValueInt<<3 | wireVarint:
		_, next := readVarint(kv, p+1)
		return next == n && ascii(kv[2:2+int(kv[1])])
	case AnyValueDouble<<3 | wireFixed64:
		return p+9 == n && ascii(kv[2:p])
	}
	return false
}

// plainString is plainAttribute for a string whose length is at kv[p].
func plainString(kv []byte, p int) bool {
	n := len(kv)
	l := int(kv[p])
	if l < 0x80 {
		// The bytes between key and text are tags and lengths below 0x80 here
		// unless the value's length took two bytes; then look closer.
		if p+1+l != n {
			return false
		}
		return ascii(kv[2:]) || utf8.Valid(kv[2:2+int(kv[1])]) && utf8.Valid(kv[p+1:])
	}
	if p+1 >= n || kv[p+1] >= 0x80 || p+2+(l&0x7f|int(kv[p+1])<<7) != n {
		return false
	}
	return text(kv[2:2+int(kv[1])]) && text(kv[p+2:])
}
