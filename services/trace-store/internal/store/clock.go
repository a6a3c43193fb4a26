package store

import (
	"cmp"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/value"
)

// How far from when the door accepted it a span may start, and how long it may
// take, to stand in the columns as it says.
const (
	maxAge = 9 * 365 * 24 * time.Hour
	// MaxAhead is how long after it was accepted a stored span starts at most.
	MaxAhead = 24 * time.Hour
)

// Values of the attribute otlp.MarkTime: what is wrong with a span's times.
const (
	StartMissing    = "start_missing"      // it is 0
	StartOutOfRange = "start_out_of_range" // years ago, or more than a day ahead
	EndMissing      = "end_missing"        // it is 0: the span was never ended
	EndBeforeStart  = "end_before_start"   // a clock was set back, or two clocks were used
	EndOutOfRange   = "end_out_of_range"   // years after the start
)

// settleTimes decides which times stand in the columns of a span that was
// accepted at received. Search and order go by the columns: so a start that
// cannot be is replaced by the time of acceptance, and a duration that cannot be
// by none. What the span said itself goes into its rest, which is read after
// the columns and so wins, and a mark says what is wrong.
func (s *span) settleTimes(received time.Time) {
	start, fault := s.start, ""
	switch at := received.UnixNano(); {
	case s.start == 0:
		fault = StartMissing
		start = uint64(at)
	case int64(s.start) < at-int64(maxAge) || int64(s.start) > at+int64(MaxAhead): // beyond int64 is before
		fault = StartOutOfRange
		start = uint64(at)
	}
	duration := s.end - s.start
	switch { // what is wrong with the start spoils the end too, and is said alone
	case fault == StartMissing:
		duration = 0
	case s.end == 0:
		fault, duration = cmp.Or(fault, EndMissing), 0
	case s.end < s.start:
		fault, duration = cmp.Or(fault, EndBeforeStart), 0
	case duration > uint64(maxAge):
		fault, duration = cmp.Or(fault, EndOutOfRange), 0
	}
	if fault == "" {
		return
	}
	s.rest = appendTime(s.rest, otlp.SpanStartTimeUnixNano, s.start)
	s.rest = appendTime(s.rest, otlp.SpanEndTimeUnixNano, s.end)
	s.start, s.end = start, start+duration
	s.attrs.mark(otlp.MarkTime, fault)
}

// mark makes the attribute of that key the text, and the only one: a span that
// was stored, exported and sent again has one already.
func (l *list) mark(key, text string) {
	kept := attr{key: []byte(key), text: []byte(text), letter: value.String}
	n, done := 0, false
	for i, a := range l.attrs {
		if string(a.key) == key {
			if done {
				continue
			}
			l.attrs[i], l.letters[i], done = kept, value.String, true
		}
		l.attrs[n], l.letters[n] = l.attrs[i], l.letters[i]
		n++
	}
	l.attrs, l.letters = l.attrs[:n], l.letters[:n]
	if !done {
		l.attrs, l.letters = append(l.attrs, kept), append(l.letters, value.String)
	}
}

// appendTime writes the field also when it is zero: it stands for another.
func appendTime(dst []byte, field protowire.Number, nanos uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), nanos)
}
