package sdk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// TypedInserter inserts structs of one type as records; [Of] makes it. It is safe for
// concurrent use.
type TypedInserter[T any] struct {
	in     *Inserter
	fields []typedField
}

// typedField is a field of a struct that is a feature.
type typedField struct {
	name    string
	index   []int
	kind    valueKind
	pointer bool
}

// Of makes an inserter of structs for an alias of a queue. A field is the feature that
// its tag names, as in
//
//	type Wine struct {
//		Acid   float64  `feature:"acid"`
//		Colour string   `feature:"colour"`
//		Year   *int     `feature:"year"` // nil is missing
//		Cellar string                    // no feature of the profile: left out
//	}
//
// or without one that of its own name, where the profile has it. Fields are numbers,
// texts and bools, or pointers to them. What does not fit the profile is an error that
// names every field, here and not at the first insert; so is a struct of which no
// field is a feature.
func Of[T any](q *Queue, alias string) (*TypedInserter[T], error) {
	in := q.For(alias)
	if in.broken != nil {
		return nil, in.broken
	}
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("insert %s: is no struct", t)
	}
	out := &TypedInserter[T]{in: in}
	var errs []error
	for _, f := range reflect.VisibleFields(t) {
		name, tagged := f.Tag.Lookup("feature")
		if !tagged {
			name = f.Name
			if _, known := in.byName[name]; !known {
				continue
			}
		}
		if name == "-" || name == "" || !f.IsExported() || passesPointer(t, f.Index) {
			continue
		}
		field := typedField{name: name, index: f.Index, kind: kindOf(f.Type), pointer: f.Type.Kind() == reflect.Pointer}
		if field.pointer {
			field.kind = kindOf(f.Type.Elem())
		}
		if err := in.typed(&field); err != nil {
			errs = append(errs, fmt.Errorf("field %s: %w", f.Name, err))
			continue
		}
		out.fields = append(out.fields, field)
	}
	if len(errs) == 0 && len(out.fields) == 0 {
		errs = append(errs, fmt.Errorf("no field of %s is a feature of %s", t, in.title))
	}
	return out, errors.Join(errs...)
}

// passesPointer tells whether a field is inside an embedded pointer, which may be nil.
func passesPointer(t reflect.Type, index []int) bool {
	for i := 1; i < len(index); i++ {
		if t.FieldByIndex(index[:i]).Type.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// typed holds a field against the profile, by a value of its kind.
func (in *Inserter) typed(f *typedField) error {
	v := Value{name: f.name, is: f.kind}
	if f.kind == noValue {
		return in.refuse(f.name, RuleTypeMismatch, "is no number, text or bool")
	}
	if in.of == profile.MetricRecords {
		return in.checkMetrics([]Value{v})
	}
	at, known := in.byName[f.name]
	if !known {
		return in.refuse(f.name, RuleUnknownFeature, "the profile has no such feature")
	}
	return in.checkValue(&in.slots[at], &v, false)
}

func kindOf(t reflect.Type) valueKind {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return valueInt
	case reflect.Float32, reflect.Float64:
		return valueFloat
	case reflect.String:
		return valueString
	case reflect.Bool:
		return valueBool
	default:
		return noValue
	}
}

// maxTyped is of how many fields a record is made without allocating.
const maxTyped = 32

// Insert inserts a struct as Inserter.Insert does. Up to 32 features cost no
// allocation.
func (t *TypedInserter[T]) Insert(ctx context.Context, v *T) error {
	var few [maxTyped]Value
	return t.in.put(ctx, trace.SpanContextFromContext(ctx), body{wait: true}, t.values(few[:0], v))
}

// InsertAs inserts a struct as Inserter.InsertAs does.
func (t *TypedInserter[T]) InsertAs(ctx context.Context, id string, at time.Time, v *T) error {
	var few [maxTyped]Value
	return t.in.InsertAs(ctx, id, at, t.values(few[:0], v)...)
}

// values are the features of a struct; nil has none.
func (t *TypedInserter[T]) values(to []Value, v *T) []Value {
	if v == nil {
		return to
	}
	s := reflect.ValueOf(v).Elem()
	for i := range t.fields {
		f := &t.fields[i]
		field := s.FieldByIndex(f.index)
		if f.pointer {
			if field.IsNil() {
				to = append(to, Missing(f.name))
				continue
			}
			field = field.Elem()
		}
		to = append(to, valueOf(f, field))
	}
	return to
}

func valueOf(f *typedField, v reflect.Value) Value {
	switch {
	case f.kind == valueString:
		return String(f.name, v.String())
	case f.kind == valueBool:
		return Bool(f.name, v.Bool())
	case f.kind == valueFloat:
		return Float(f.name, v.Float())
	case v.CanUint() && v.Uint() > math.MaxInt64:
		return Float(f.name, float64(v.Uint()))
	case v.CanUint():
		return Int(f.name, int64(v.Uint())) //nolint:gosec // looked at above
	default:
		return Int(f.name, v.Int())
	}
}
