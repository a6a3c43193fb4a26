package otlp

import (
	"fmt"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Defaults of Limits.
const (
	DefaultMaxAttributes     = 10_000
	DefaultMaxAttributeBytes = 1 << 20
	DefaultMaxDepth          = 32
	DefaultMaxAge            = 9 * 365 * 24 * time.Hour
	DefaultMaxAhead          = 24 * time.Hour
)

// Limits are the rules of Scan that are settings. The zero value of a field
// means its default, except for MaxMessage.
type Limits struct {
	MaxMessage        int           // the broker's largest message, bytes; 0: any
	MaxAttributes     int           // attributes in one list
	MaxAttributeBytes int           // one attribute, key and value
	MaxDepth          int           // arrays and maps inside each other
	MaxAge            time.Duration // how far in the past a span may start
	MaxAhead          time.Duration // how far in the future a span may end
}

func (l Limits) withDefaults() Limits {
	if l.MaxAttributes <= 0 {
		l.MaxAttributes = DefaultMaxAttributes
	}
	if l.MaxAttributeBytes <= 0 {
		l.MaxAttributeBytes = DefaultMaxAttributeBytes
	}
	if l.MaxDepth <= 0 {
		l.MaxDepth = DefaultMaxDepth
	}
	if l.MaxAge <= 0 {
		l.MaxAge = DefaultMaxAge
	}
	if l.MaxAhead <= 0 {
		l.MaxAhead = DefaultMaxAhead
	}
	return l
}

// Reason says which rule a span broke.
type Reason uint8

// The reasons. Their strings are stable: the ledger counts by them.
const (
	TraceIDLength     Reason = iota // trace_id is not 16 bytes
	TraceIDZero                     // trace_id is all zero
	SpanIDLength                    // span_id is not 8 bytes
	SpanIDZero                      // span_id is all zero
	ParentIDLength                  // parent_span_id is neither empty nor 8 bytes
	StartTimeMissing                // start_time_unix_nano is 0
	EndBeforeStart                  // end_time_unix_nano is before the start, or 0
	TimeOutOfRange                  // too far in the past or in the future
	InvalidUTF8                     // a string is not UTF-8
	TooManyAttributes               // more attributes in one list than allowed
	AttributeTooLarge               // one attribute larger than allowed
	NestedTooDeep                   // arrays and maps nested deeper than allowed
	LinkIDInvalid                   // a link's ids have wrong lengths, or it is empty
	SpanTooLarge                    // no broker message can hold the span
	ResourceTooLarge                // resource and scope leave no room in a broker message

	reasonCount
)

var reasonNames = [reasonCount]string{
	TraceIDLength:     "trace_id_length",
	TraceIDZero:       "trace_id_zero",
	SpanIDLength:      "span_id_length",
	SpanIDZero:        "span_id_zero",
	ParentIDLength:    "parent_span_id_length",
	StartTimeMissing:  "start_time_missing",
	EndBeforeStart:    "end_before_start",
	TimeOutOfRange:    "time_out_of_range",
	InvalidUTF8:       "invalid_utf8",
	TooManyAttributes: "too_many_attributes",
	AttributeTooLarge: "attribute_too_large",
	NestedTooDeep:     "nested_too_deep",
	LinkIDInvalid:     "link_id_invalid",
	SpanTooLarge:      "span_too_large",
	ResourceTooLarge:  "resource_too_large",
}

// String is the stable code of the reason.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons lists every reason, in order.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// MaxViolations is how many violations a Report describes; the rest are only
// counted, so that a request of millions of bad spans stays cheap.
const MaxViolations = 8

// Violation describes one broken rule, and how many spans it made bad: one,
// or all those under the resource or scope it is about.
type Violation struct {
	Reason Reason
	Field  string // resource_spans[0].scope_spans[0].spans[3].trace_id
	Rule   string // must be 16 bytes, is 8
	Spans  int
}

// String is the sentence for people: field and rule.
func (v Violation) String() string { return v.Field + ": " + v.Rule }

// Report is what Scan found in a request.
type Report struct {
	Spans      int              // all spans, good and bad
	Rejected   int              // the bad ones
	ByReason   [reasonCount]int // bad spans by Reason
	Violations []Violation      // the first MaxViolations; nil when all is good

	// Trace and span id of the first good span; zero when there is none.
	TraceID [TraceIDSize]byte
	SpanID  [SpanIDSize]byte

	debris bool // a resource or scope without spans broke a rule
}

// Intact reports whether the request may be passed on as it is; else it has to
// go through Split first, as it holds something bad.
func (r *Report) Intact() bool { return r.Rejected == 0 && !r.debris }

// Accepted is the number of good spans.
func (r *Report) Accepted() int { return r.Spans - r.Rejected }

// Message is an English summary for the caller: how many spans were rejected
// and, for the first of them, which field broke which rule. It is empty when
// nothing was rejected.
func (r *Report) Message() string {
	if r.Rejected == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d spans rejected: ", r.Rejected, r.Spans)
	told := 0
	for i, v := range r.Violations {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s (%s)", v, v.Reason)
		told += v.Spans
	}
	if told < r.Rejected {
		fmt.Fprintf(&b, "; and %d more", r.Rejected-told)
	}
	return b.String()
}

// MalformedError says where a request cannot be read. It is of kind
// fault.Invalid.
type MalformedError struct {
	Field   string // the innermost field that could be made out; "" is the request
	Problem string
}

// Error names field and problem.
func (e *MalformedError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// Unwrap makes errors.Is(err, fault.Invalid) true.
func (e *MalformedError) Unwrap() error { return fault.Invalid }
