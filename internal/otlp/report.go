package otlp

import (
	"fmt"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/settings"
)

// MaxDepth is how many arrays and maps may be inside each other; what is deeper
// is cut.
const MaxDepth = 32

// Limits are the rules of Scan that are settings. What is above MaxMessage by
// itself is refused; what is above the others is cut.
type Limits struct {
	MaxMessage int // the broker's largest message, bytes; 0: any
	Attributes
}

// Attributes bounds attributes, and is part of the door's settings. Zero fields
// take the defaults.
type Attributes struct {
	MaxAttributes     int           `help:"Most attributes of one span, event, link, resource or scope; further ones are dropped, and the span says so." default:"10000"`
	MaxAttributeBytes settings.Size `help:"Largest attribute, key and value; a larger one is cut, and the span says so." default:"1MiB"`
}

var usual = settings.Filled(Attributes{})

func (l Limits) withDefaults() Limits {
	if l.MaxAttributes <= 0 {
		l.MaxAttributes = usual.MaxAttributes
	}
	if l.MaxAttributeBytes <= 0 {
		l.MaxAttributeBytes = usual.MaxAttributeBytes
	}
	return l
}

// Reason says why something is no span that can be kept.
type Reason uint8

// The reasons. Their strings are stable: the ledger counts by them.
const (
	TraceIDLength    Reason = iota // trace_id is not 16 bytes
	TraceIDZero                    // trace_id is all zero
	SpanIDLength                   // span_id is not 8 bytes
	SpanIDZero                     // span_id is all zero
	ParentIDLength                 // parent_span_id is neither empty nor 8 bytes
	SpanTooLarge                   // no broker message can hold the span, however its attributes are cut
	ResourceTooLarge               // resource and scope leave no room in a broker message, however they are cut

	reasonCount
)

var reasonNames = [reasonCount]string{
	TraceIDLength:    "trace_id_length",
	TraceIDZero:      "trace_id_zero",
	SpanIDLength:     "span_id_length",
	SpanIDZero:       "span_id_zero",
	ParentIDLength:   "parent_span_id_length",
	SpanTooLarge:     "span_too_large",
	ResourceTooLarge: "resource_too_large",
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
	Mended     int              // good spans that break a rule which Split mends
	ByMend     [mendCount]int   // those spans by Mend; one may be in several

	// Trace and span id of the first good span; zero when there is none.
	TraceID [TraceIDSize]byte
	SpanID  [SpanIDSize]byte

	debris bool // something besides spans has to be left out or mended
	cut    bool // the pieces are held to MaxMessage
}

// mend counts a good span that has to be mended.
func (r *Report) mend(mends uint8) {
	r.Mended++
	for m := range r.ByMend {
		r.ByMend[m] += int(mends >> m & 1)
	}
}

// Intact reports whether the request may be passed on as it is; else it has to
// go through Split first, as it holds something to leave out or to mend.
func (r *Report) Intact() bool { return r.Rejected == 0 && r.Mended == 0 && !r.debris }

// Growth bounds the bytes of all pieces that Split makes of a request of n
// bytes: envelopes are repeated, a text that is not UTF-8 may double, and marks
// are added.
func (r *Report) Growth(n int) int {
	if r.Mended == 0 && !r.debris {
		return 2 * n
	}
	return 4*n + (r.Mended+1)*maxMark
}

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
