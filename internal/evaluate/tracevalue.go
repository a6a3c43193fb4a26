package evaluate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// source is what values are taken of.
type source struct {
	trace    *Trace
	response *response
}

// value takes something of a trace or of a response.
type value interface {
	of(from source) (any, error)
}

// only reads an object of one member: the kind of something, and what there is to
// say of it.
func only(raw json.RawMessage) (kind string, body json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || len(members) != 1 {
		return "", nil, errors.New("want an object of one member, which names its kind")
	}
	for kind, body = range members {
	}
	return kind, body, nil
}

// strictly reads an object that has nothing else.
func strictly(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// traceValue is something of a trace.
type traceValue struct {
	Names       []string   `json:"span_names"`
	Filter      filter     `json:"filter"`
	Attribute   string     `json:"attribute_key"`
	Aggregation string     `json:"aggregation"`
	Key         string     `json:"key"`
	Task        inner      `json:"task"`
	Mode        string     `json:"mode"`
	take        traceTaker // what it takes
}

// traceTaker takes a value of a trace.
type traceTaker func(v *traceValue, t *Trace) (any, error)

func (v *traceValue) of(from source) (any, error) { return v.take(v, from.trace) }

// traceTakers are what there is to take of traces.
var traceTakers = map[string]traceTaker{
	"span_sequence": func(v *traceValue, t *Trace) (any, error) { return slices.Equal(t.names(), v.Names), nil },
	"span_set": func(v *traceValue, t *Trace) (any, error) {
		names := t.names()
		return !slices.ContainsFunc(v.Names, func(name string) bool { return !slices.Contains(names, name) }), nil
	},
	"span_count": (*traceValue).count,
	"span_exists": func(v *traceValue, t *Trace) (any, error) {
		found, err := t.filtered(&v.Filter)
		return len(found) > 0, err
	},
	"span_attribute":   (*traceValue).attribute,
	"span_duration":    (*traceValue).duration,
	"span_aggregation": (*traceValue).aggregate,

	"trace_duration": func(_ *traceValue, t *Trace) (any, error) {
		return json.Number(strconv.FormatInt(t.milliseconds(), 10)), nil
	},
	"trace_span_count": func(_ *traceValue, t *Trace) (any, error) { return count(len(t.Spans)), nil },
	"trace_error_count": func(_ *traceValue, t *Trace) (any, error) {
		return count(len(t.having(func(s *Span) bool { return s.Status == Error }))), nil
	},
	"trace_service_count": func(_ *traceValue, t *Trace) (any, error) { return count(len(t.services())), nil },
	"trace_max_depth":     func(_ *traceValue, t *Trace) (any, error) { return count(t.depth()), nil },
	"trace_attribute":     (*traceValue).ofRoot,
	"attribute_filter":    (*traceValue).inner,
}

func traceValueOf(raw json.RawMessage) (value, error) {
	kind, body, err := only(raw)
	if err != nil {
		return nil, err
	}
	v := &traceValue{take: traceTakers[kind]}
	if v.take == nil {
		return nil, fmt.Errorf("%.60q is nothing that a trace has", kind)
	}
	if err := strictly(body, v); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	switch {
	case v.Aggregation != "" && !slices.Contains(aggregations, v.Aggregation):
		return nil, fmt.Errorf("there is no aggregation %.40q", v.Aggregation)
	case kind == "attribute_filter" && (v.Mode != "any" && v.Mode != "all" || v.Task.Operator == ""):
		return nil, errors.New("attribute_filter: want a task, and a mode any or all")
	case !v.Filter.everywhere(kind == "span_count"):
		return nil, errors.New("a sequence is only counted, by itself")
	}
	return v, nil
}

func (t *Trace) names() []string {
	out := make([]string, len(t.Spans))
	for i := range t.Spans {
		out[i] = t.Spans[i].Name
	}
	return out
}

func (t *Trace) having(is func(*Span) bool) (found []*Span) {
	for i := range t.Spans {
		if is(&t.Spans[i]) {
			found = append(found, &t.Spans[i])
		}
	}
	return found
}

func (t *Trace) filtered(f *filter) (found []*Span, err error) {
	match, err := f.matcher()
	if err != nil {
		return nil, err
	}
	return t.having(match), nil
}

func (t *Trace) services() map[string]bool {
	all := map[string]bool{}
	for i := range t.Spans {
		all[t.Spans[i].Service] = true
	}
	return all
}

func (t *Trace) depth() (deepest int) {
	for i := range t.Spans {
		deepest = max(deepest, t.Spans[i].Depth)
	}
	return deepest
}

// milliseconds is from the first start to the last end.
func (t *Trace) milliseconds() int64 {
	if len(t.Spans) == 0 {
		return 0
	}
	first, last := t.Spans[0].Start, t.Spans[0].End
	for _, s := range t.Spans {
		if s.Start.Before(first) {
			first = s.Start
		}
		if s.End.After(last) {
			last = s.End
		}
	}
	return max(last.Sub(first).Milliseconds(), 0)
}

func (v *traceValue) count(t *Trace) (any, error) {
	if names := v.Filter.sequence; names != nil {
		all, n := t.names(), 0
		for i := 0; len(names) > 0 && i+len(names) <= len(all); i++ {
			if slices.Equal(all[i:i+len(names)], names) {
				n++
			}
		}
		return count(n), nil
	}
	found, err := t.filtered(&v.Filter)
	return count(len(found)), err
}

// single is a list, or its item where that is the only one.
func single(list []any) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func (v *traceValue) attribute(t *Trace) (any, error) {
	found, err := t.filtered(&v.Filter)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	list := []any{}
	for _, s := range found {
		if a, ok := s.attribute(v.Attribute); ok {
			list = append(list, a)
		}
	}
	return single(list), nil
}

func (v *traceValue) duration(t *Trace) (any, error) {
	found, err := t.filtered(&v.Filter)
	list := []any{}
	for _, s := range found {
		list = append(list, json.Number(strconv.FormatInt(s.milliseconds(), 10)))
	}
	return single(list), err
}

// aggregations are the ways to make one number of several.
var aggregations = []string{"count", "sum", "average", "min", "max", "first", "last"}

func (v *traceValue) aggregate(t *Trace) (any, error) {
	found, err := t.filtered(&v.Filter)
	if err != nil {
		return nil, err
	}
	var values []float64
	having := 0
	for _, s := range found {
		a, ok := s.attribute(v.Attribute)
		if f, is := number(a); is {
			values = append(values, f)
		}
		if ok {
			having++
		}
	}
	switch {
	case v.Aggregation == "count":
		return count(having), nil
	case len(values) == 0:
		return nil, nil
	}
	sum, least, most := 0.0, math.Inf(1), math.Inf(-1)
	for _, f := range values {
		sum, least, most = sum+f, min(least, f), max(most, f)
	}
	switch v.Aggregation {
	case "sum":
		return num(sum), nil
	case "average":
		return num(sum / float64(len(values))), nil
	case "min":
		return num(least), nil
	case "max":
		return num(most), nil
	case "first":
		return num(values[0]), nil
	default:
		return num(values[len(values)-1]), nil
	}
}

func (v *traceValue) ofRoot(t *Trace) (any, error) {
	for i := range t.Spans {
		if t.Spans[i].Depth != 0 {
			continue
		}
		a, ok := t.Spans[i].attribute(v.Attribute)
		if !ok {
			return nil, fmt.Errorf("the root has no attribute %.100q", v.Attribute)
		}
		return a, nil
	}
	return nil, errors.New("the trace has no root")
}

// Inner is a check of the value of an attribute, as attribute_filter has it.
type Inner struct {
	Of       profile.CheckOf `json:"of"`
	Value    json.RawMessage `json:"value,omitempty"`
	Path     string          `json:"path,omitempty"`
	ItemPath string          `json:"item_path,omitempty"`
	Provider string          `json:"provider,omitempty"`
	Operator string          `json:"operator"`
	Expected json.RawMessage `json:"expected,omitempty"`
}

// inner is one that can be run.
type inner struct{ check }

// UnmarshalJSON implements json.Unmarshaler.
func (in *inner) UnmarshalJSON(raw []byte) error {
	var w Inner
	if err := strictly(raw, &w); err != nil {
		return err
	}
	in.Check = profile.Check{Of: profile.OfContext, Path: w.Path, ItemPath: w.ItemPath, Operator: w.Operator, Expected: w.Expected}
	if w.Of == profile.OfResponse {
		in.Of, in.Value, in.Provider = w.Of, w.Value, w.Provider
	}
	return in.read()
}

// passes checks the value of an attribute; a text that is JSON is what it says.
func (in *inner) passes(attribute any) (bool, error) {
	if s, ok := attribute.(string); ok {
		if parsed, err := Decode([]byte(s)); err == nil {
			attribute = parsed
		}
	}
	v, err := in.compare(nil, attribute)
	return v.passed, err
}

func (v *traceValue) inner(t *Trace) (any, error) {
	having, passed := 0, 0
	for i := range t.Spans {
		a, ok := t.Spans[i].attribute(v.Key)
		if !ok {
			continue
		}
		having++
		ok, err := v.Task.passes(a)
		if err != nil {
			return nil, err
		}
		if ok {
			passed++
		}
	}
	if v.Mode == "any" {
		return passed > 0, nil
	}
	return having > 0 && passed == having, nil
}
