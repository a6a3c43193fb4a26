package profile

import (
	"maps"
	"slices"
	"strconv"
)

// SourceKind is what observations are made of.
type SourceKind string

// The kinds of sources.
const (
	// Spans that are stored: see [Source].
	Spans SourceKind = "spans"
	// MetricRecords: each record of metrics, whose names are the features. Those
	// that a record has not are missing.
	MetricRecords SourceKind = "metrics"
	// ContextRecords: each record with a context. A feature is a member of the JSON
	// object, or of an object in it by a path such as "usage.total". What is not
	// there, null, or an array or object is missing; a text where a number is
	// expected is NaN. Texts are cut at [MaxCategory] bytes.
	ContextRecords SourceKind = "contexts"
)

// Source says that observations are made of something else than records of
// features. Of spans, it is one of every span that it describes, and a feature
// takes its value by its name:
//
//	duration_ms                number    how long the span took, in milliseconds
//	error                      bool      whether its status is an error
//	status                     string    unset, ok or error
//	span_name, span_kind       string    as the span has them; the kind in lower case
//	resource.NAME              any       an attribute of its resource
//	NAME                       any       an attribute of the span itself
//
// An attribute that a span has not is missing; a text where a number is expected
// is NaN.
type Source struct {
	// Of is what observations are made of; empty means [Spans].
	Of SourceKind `json:"of,omitempty"`
	// Service is the service.name of the spans' resource; required of spans, as the
	// fields below are of them alone.
	Service string `json:"service,omitempty"`
	// Operation is the name of the spans; empty for all.
	Operation string `json:"operation,omitempty"`
	// Kind is the kind of the spans: internal, server, client, producer or
	// consumer; empty for all.
	Kind string `json:"kind,omitempty"`
	// Attributes are those that a span must have, by their texts.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Features of spans that are no attributes.
const (
	SpanDuration = "duration_ms"
	SpanError    = "error"
	SpanStatus   = "status"
	SpanName     = "span_name"
	SpanKind     = "span_kind"
	// ResourcePrefix begins the features that are attributes of the resource.
	ResourcePrefix = "resource."
)

// SpanKinds are the kinds of spans, by their number in OTLP.
var SpanKinds = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}

// Bounds of a Source.
const (
	maxSourceText       = 1024
	maxSourceAttributes = 20
)

func (p *Profile) checkSource() (problems []error) {
	s := p.Source
	if s == nil {
		return nil
	}
	fail := func(column, detail string) {
		problems = append(problems, &Error{Column: column, Rule: "SOURCE", Detail: detail})
	}
	switch s.Of {
	case Spans:
	case MetricRecords, ContextRecords:
		return p.checkRecordSource()
	default:
		fail("", "the source is of "+strconv.Quote(string(s.Of))+", not of spans, metrics or contexts")
	}
	if s.Service == "" {
		fail("", "the source names no service")
	}
	if s.Kind != "" && !slices.Contains(SpanKinds, s.Kind) {
		fail("", "the kind "+strconv.Quote(s.Kind)+" of the source is not internal, server, client, producer or consumer")
	}
	if len(s.Attributes) > maxSourceAttributes {
		fail("", "the source asks for "+strconv.Itoa(len(s.Attributes))+" attributes; at most "+strconv.Itoa(maxSourceAttributes)+" are allowed")
	}
	texts := append([]string{s.Service, s.Operation}, slices.Concat(slices.Collect(maps.Keys(s.Attributes)), slices.Collect(maps.Values(s.Attributes)))...)
	if slices.ContainsFunc(texts, func(text string) bool { return len(text) > maxSourceText }) {
		fail("", "a text of the source is longer than "+strconv.Itoa(maxSourceText)+" bytes")
	}
	for i := range p.Features {
		switch f := &p.Features[i]; f.Name {
		case SpanDuration:
			if f.Kind != Numeric {
				fail(f.Name, "the duration of spans is a number")
			}
		case SpanError, SpanStatus, SpanName, SpanKind:
			if f.Kind != Category {
				fail(f.Name, "it is a category of spans")
			}
		}
	}
	return problems
}

func (p *Profile) checkRecordSource() (problems []error) {
	s := p.Source
	if s.Service != "" || s.Operation != "" || s.Kind != "" || len(s.Attributes) > 0 {
		problems = append(problems, &Error{Rule: "SOURCE", Detail: "a source of " + string(s.Of) + " has a service, an operation, a kind or attributes, which spans have"})
	}
	for i := range p.Features {
		if f := &p.Features[i]; s.Of == MetricRecords && f.Kind != Numeric {
			problems = append(problems, &Error{Column: f.Name, Rule: "SOURCE", Detail: "a metric is a number"})
		}
	}
	return problems
}
