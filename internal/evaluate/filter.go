package evaluate

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// filter chooses spans.
type filter struct {
	kind     string // empty for one that was not given
	body     filterBody
	pattern  *regexp.Regexp
	wrong    error    // why it can choose none
	sequence []string // of names; nil for another
	depth    int
}

type filterBody struct {
	Name    string          `json:"name"`
	Pattern string          `json:"pattern"`
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Status  Status          `json:"status"`
	MinMS   *float64        `json:"min_ms"`
	MaxMS   *float64        `json:"max_ms"`
	Names   []string        `json:"names"`
	Filters []filter        `json:"filters"`
	value   any
}

const (
	// maxFilterPattern bounds a pattern of names.
	maxFilterPattern = 512
	// maxFilterDepth bounds filters within filters.
	maxFilterDepth = 16
)

// UnmarshalJSON implements json.Unmarshaler.
func (f *filter) UnmarshalJSON(raw []byte) error {
	kind, body, err := only(raw)
	if err != nil {
		return err
	}
	if _, known := filterKinds[kind]; !known {
		return fmt.Errorf("there is no filter %.60q", kind)
	}
	f.kind = kind
	if err := strictly(body, &f.body); err != nil {
		return err
	}
	for i := range f.body.Filters {
		f.depth = max(f.depth, f.body.Filters[i].depth+1)
	}
	if f.depth > maxFilterDepth {
		return fmt.Errorf("there are more than %d filters within each other", maxFilterDepth)
	}
	switch kind {
	case "sequence":
		f.sequence = append([]string{}, f.body.Names...)
	case "by_name_pattern":
		if len(f.body.Pattern) > maxFilterPattern {
			return fmt.Errorf("a pattern is longer than %d bytes", maxFilterPattern)
		}
		f.pattern, f.wrong = pattern(f.body.Pattern)
	case "with_attribute_value":
		f.body.value, err = Decode(f.body.Value)
	}
	return err
}

// everywhere reports whether filters stand where they mean something: a sequence is
// none of single spans.
func (f *filter) everywhere(counted bool) bool {
	if f.sequence != nil {
		return counted
	}
	for i := range f.body.Filters {
		if !f.body.Filters[i].everywhere(false) {
			return false
		}
	}
	return true
}

// filterKinds are the filters by kind.
var filterKinds = map[string]func(f *filterBody, s *Span) bool{
	"by_name":         func(f *filterBody, s *Span) bool { return s.Name == f.Name },
	"by_name_pattern": nil, "sequence": nil, "and": nil, "or": nil,
	"with_attribute":       func(f *filterBody, s *Span) bool { _, ok := s.attribute(f.Key); return ok },
	"with_attribute_value": func(f *filterBody, s *Span) bool { v, ok := s.attribute(f.Key); return ok && same(v, f.value) },
	"with_status":          func(f *filterBody, s *Span) bool { return s.Status == f.Status },
	"with_duration": func(f *filterBody, s *Span) bool {
		ms := float64(s.milliseconds())
		return (f.MinMS == nil || ms >= *f.MinMS) && (f.MaxMS == nil || ms <= *f.MaxMS)
	},
}

// matcher chooses spans; all where there is no filter.
func (f *filter) matcher() (func(*Span) bool, error) {
	if f.wrong != nil {
		return nil, f.wrong
	}
	switch f.kind {
	case "":
		return func(*Span) bool { return true }, nil
	case "by_name_pattern":
		return func(s *Span) bool { return f.pattern.MatchString(s.Name) }, nil
	case "and", "or":
		all := make([]func(*Span) bool, len(f.body.Filters))
		for i := range f.body.Filters {
			match, err := f.body.Filters[i].matcher()
			if err != nil {
				return nil, err
			}
			all[i] = match
		}
		want := f.kind == "and" // the answer when no filter says otherwise
		return func(s *Span) bool {
			for _, match := range all {
				if match(s) != want {
					return !want
				}
			}
			return want
		}, nil
	}
	is := filterKinds[f.kind]
	return func(s *Span) bool { return is(&f.body, s) }, nil
}
