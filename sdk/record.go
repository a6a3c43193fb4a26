package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Record is one fact about one prediction, call or step, made by [Features],
// [Labels], [Metrics] or [Context]. It is immutable: the With methods return a copy that
// shares the values.
type Record struct {
	profile string
	id      string
	at      time.Time
	body    func(*ingestv1.Record)
	err     error
}

// Value is one named value of a feature, or of a metric.
type Value struct {
	name string
	text string // of a valueString
	bits uint64 // an int64, the bits of a float64, or 0 and 1
	is   valueKind
}

type valueKind uint8

const (
	noValue valueKind = iota
	valueInt
	valueFloat
	valueString
	valueBool
	valueMissing
)

// Float is a number. NaN and the infinities are values of their own, distinct
// from a missing one.
func Float(name string, v float64) Value {
	return Value{name: name, bits: math.Float64bits(v), is: valueFloat}
}

// Int is a whole number. Beyond 2^53 it is compared as the nearest float64.
func Int(name string, v int64) Value {
	return Value{name: name, bits: uint64(v), is: valueInt} //nolint:gosec // its bits
}

// String is a category.
func String(name, v string) Value { return Value{name: name, text: v, is: valueString} }

// Bool is a category of two.
func Bool(name string, v bool) Value {
	out := Value{name: name, is: valueBool}
	if v {
		out.bits = 1
	}
	return out
}

// Missing says that there is no value. A feature that is not named at all
// counts as missing as well.
func Missing(name string) Value { return Value{name: name, is: valueMissing} }

// feature is the value as a message; nil when nobody made it.
func (v *Value) feature() *ingestv1.Feature {
	f := &ingestv1.Feature{Name: v.name}
	switch v.is {
	case valueInt:
		f.Value = &ingestv1.Feature_Int{Int: int64(v.bits)} //nolint:gosec // its bits
	case valueFloat:
		f.Value = &ingestv1.Feature_Float{Float: math.Float64frombits(v.bits)}
	case valueString:
		f.Value = &ingestv1.Feature_String_{String_: v.text}
	case valueBool:
		f.Value = &ingestv1.Feature_Bool{Bool: v.bits != 0}
	case valueMissing:
		f.Value = &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}
	case noValue:
		return nil
	}
	return f
}

// Features are the values of one model input. The profile is its uid, or
// "space/name" for the newest version, or "space/name/version".
func Features(profile string, values ...Value) Record {
	list := make([]*ingestv1.Feature, len(values))
	for i := range values {
		list[i] = values[i].feature()
	}
	body := &ingestv1.Record_Features{Features: &ingestv1.Features{Values: list}}
	r := Record{profile: profile, body: func(to *ingestv1.Record) { to.Body = body }}
	if slices.Contains(list, nil) {
		r.err = errors.New("a value was not made by Float, Int, String, Bool or Missing")
	}
	return r
}

// Labels are what became known later of the features record with that id, such
// as what the prediction should have been: values of features of the same
// profile, in the place of those that the record came with. They may come before
// the record; of several the one with the latest time counts.
func Labels(profile, id string, values ...Value) Record {
	r := Features(profile, values...).WithID(id)
	features := r.body
	r.body = func(to *ingestv1.Record) {
		features(to)
		to.Body = &ingestv1.Record_Labels{Labels: to.GetFeatures()}
	}
	if id == "" && r.err == nil {
		r.err = errors.New("labels need the id of the record that they are of")
	}
	return r
}

// Metrics are numbers measured about a model, by name. They must be finite. The
// map is copied.
func Metrics(profile string, values map[string]float64) Record {
	list := make([]*ingestv1.Metric, 0, len(values))
	r := Record{profile: profile}
	for name, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			r.err = fmt.Errorf("metric %q is not finite", name)
		}
		list = append(list, &ingestv1.Metric{Name: name, Value: v})
	}
	slices.SortFunc(list, func(a, b *ingestv1.Metric) int { return strings.Compare(a.Name, b.Name) })
	body := &ingestv1.Record_Metrics{Metrics: &ingestv1.Metrics{Values: list}}
	r.body = func(to *ingestv1.Record) { to.Body = body }
	return r
}

// Context is anything that encodes as a JSON object, such as the input and the
// output of an agent, kept for a later evaluation. A value that does not encode
// so is an error of the call that sends the record.
func Context(profile string, value any) Record {
	text, err := json.Marshal(value)
	if err == nil && (len(text) == 0 || text[0] != '{') {
		err = errors.New("the context is not a JSON object")
	}
	body := &ingestv1.Record_Context{Context: &ingestv1.Context{Json: string(text)}}
	return Record{profile: profile, err: err, body: func(to *ingestv1.Record) { to.Body = body }}
}

// WithID names the record within its profile, in 1 to 128 bytes: sent twice, by
// whomever, it counts once. Without it the record gets a name of its own when
// it is sent.
func (r Record) WithID(id string) Record {
	r.id = id
	return r
}

// WithTime says when it happened. Without it that is when it is sent.
func (r Record) WithTime(t time.Time) Record {
	r.at = t
	return r
}

// message is the record as it travels, with what the context adds.
func (r Record) message(ctx context.Context, now time.Time) (*ingestv1.Record, error) {
	if r.err != nil {
		return nil, fmt.Errorf("record for %q: %w", r.profile, r.err)
	}
	if r.body == nil {
		return nil, errors.New("the record is empty: make it with Features, Labels, Metrics or Context")
	}
	m := &ingestv1.Record{Id: r.id, Profile: r.profile}
	if m.Id == "" {
		m.Id = newID(now)
	}
	if r.at.IsZero() {
		r.at = now
	}
	m.EventTime = timestamppb.New(r.at)
	r.body(m)
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		m.Traceparent = traceparent(sc)
		m.Tracestate = sc.TraceState().String()
	}
	return m, nil
}

// traceparent writes a span context as W3C Trace Context has it.
func traceparent(sc trace.SpanContext) string {
	return string(appendTraceparent(make([]byte, 0, traceparentLength), sc))
}

// newID is a name for a record.
func newID(now time.Time) string { return string(appendID(make([]byte, 0, idLength), now)) }
