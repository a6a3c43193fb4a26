package profile

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Checks say what is checked of every record with a context: of what it holds, of the
// trace that it belongs to, and of an answer of a language model in it. What comes of
// them are observations of the profile, whose source must be [MetricRecords]: each
// record is one, with a value of 1 or 0 for each check and the share that was passed.
type Checks struct {
	// Member is the member of the context that is checked; all of it when empty.
	Member string `json:"member,omitempty"`
	// Rate is the feature that gets the share of checks that were passed, of those
	// that passed or failed; empty for none.
	Rate string `json:"rate,omitempty"`
	// TraceMember is a member of the context with the id of the record's trace, in
	// hex; TraceAttribute an attribute of a span, or of an event of it, with the
	// record's id. A traceparent of the record comes first.
	TraceMember    string `json:"trace_member,omitempty"`
	TraceAttribute string `json:"trace_attribute,omitempty"`
	// All are the checks.
	All []Check `json:"all"`
}

// CheckOf is what a check looks at.
type CheckOf string

// What checks look at.
const (
	// OfContext: the member of the context at [Check.Path], or all of it.
	OfContext CheckOf = "context"
	// OfTrace: what [Check.Value] makes of the record's trace.
	OfTrace CheckOf = "trace"
	// OfResponse: what [Check.Value] finds in the answer of a language model at
	// [Check.Path].
	OfResponse CheckOf = "response"
	// OfJudge: what a language model says. It is not run, and what comes of it says
	// so.
	OfJudge CheckOf = "judge"
)

// Check is one check: a value, an operator, and what is expected.
type Check struct {
	// Name is unique within the profile.
	Name string `json:"name"`
	// Feature gets 1 when the check is passed and 0 when it is failed.
	Feature string  `json:"feature"`
	Of      CheckOf `json:"of"`
	// Value says what of a trace or of a response is looked at, as a JSON object of
	// one member, such as {"trace_duration":{}}.
	Value json.RawMessage `json:"value,omitempty"`
	// Path leads to what is looked at, such as "usage.calls[0].name"; ItemPath to
	// what of each item of a list is.
	Path     string `json:"path,omitempty"`
	ItemPath string `json:"item_path,omitempty"`
	// Provider of the language model; empty for whichever it looks like.
	Provider string `json:"provider,omitempty"`
	// Operator compares, such as "contains".
	Operator string `json:"operator"`
	// Expected is what it compares with, as JSON; the text "${path}" stands for what
	// is there in the context.
	Expected json.RawMessage `json:"expected,omitempty"`
	// DependsOn are checks that are done before, and whose values the context has
	// then under their names.
	DependsOn []string `json:"depends_on,omitempty"`
	// Gate: when it is not passed, what depends on it is skipped. It does not count
	// for the rate.
	Gate bool `json:"gate,omitempty"`
}

// Bounds of checks.
const (
	// MaxChecks is the most checks of a profile.
	MaxChecks = 200
	// maxCheckText bounds the texts of a check but for its value and what it expects.
	maxCheckText = 1024
	// maxCheckJSON bounds those two.
	maxCheckJSON = 64 << 10
)

func (p *Profile) checkChecks() (problems []error) {
	c := p.Checks
	if c == nil {
		return nil
	}
	fail := func(format string, args ...any) {
		problems = append(problems, &Error{Rule: "CHECKS", Detail: fmt.Sprintf(format, args...)})
	}
	if p.Source == nil || p.Source.Of != MetricRecords {
		fail("checks give metrics: the source of the profile must be of %s", MetricRecords)
	}
	if len(c.All) == 0 || len(c.All) > MaxChecks {
		fail("%d checks; 1 to %d are allowed", len(c.All), MaxChecks)
	}
	features := map[string]bool{}
	feature := func(of, name string) {
		if i := p.Feature(name); i < 0 || p.Features[i].Kind != Numeric || features[name] {
			fail("%s: %.100q is no numeric feature, or that of another", of, name)
		}
		features[name] = true
	}
	if c.Rate != "" {
		feature("the rate", c.Rate)
	}
	texts := []string{c.Member, c.TraceMember, c.TraceAttribute}
	names := map[string]bool{}
	for _, one := range c.All {
		of := fmt.Sprintf("check %.100q", one.Name)
		switch {
		case one.Name == "" || names[one.Name]:
			fail("%s: the name is empty, or that of another", of)
		case one.Of != OfContext && one.Of != OfTrace && one.Of != OfResponse && one.Of != OfJudge:
			fail("%s: it is of %.40q, not of context, trace, response or judge", of, one.Of)
		case (one.Of == OfTrace || one.Of == OfResponse) != (len(one.Value) > 0):
			fail("%s: those of a trace or a response have a value, and others have none", of)
		case len(one.Value) > maxCheckJSON || len(one.Expected) > maxCheckJSON || len(one.DependsOn) > MaxChecks:
			fail("%s is too large", of)
		case len(one.Value) > 0 && !json.Valid(one.Value) || len(one.Expected) > 0 && !json.Valid(one.Expected):
			fail("%s: its value, or what it expects, is no JSON", of)
		}
		names[one.Name] = true
		feature(of, one.Feature)
		texts = append(append(texts, one.Name, one.Path, one.ItemPath, one.Provider, one.Operator), one.DependsOn...)
	}
	if slices.ContainsFunc(texts, func(text string) bool { return len(text) > maxCheckText }) {
		fail("a text is longer than %d bytes", maxCheckText)
	}
	return problems
}
