package sdk

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
)

// Traced makes a function of f's type that does f in a span of that name, whatever
// f takes and returns:
//
//	price := sdk.Traced("price", model.Price) // func(context.Context, Order, int) (Price, error)
//	p, err := price(ctx, order, 3)
//
// A first argument that is a context has the parent, and f gets a context with the
// span; without one a trace begins. The other arguments are captured as the input,
// one as it is and several as a list, and the results as the output; a last result
// that is an error makes the span one that failed. Where a result is an iter.Seq, an
// iter.Seq2 or a channel to receive from, the span lasts until that has ended, see
// [TracedSeq], and counts its items. A panic is recorded and goes on.
//
// Calls go through reflection, which costs about a microsecond and allocates for
// every argument and result, also where nobody records; [Wrap] and [Do] do not. A
// func(), func() error, func(context.Context) or func(context.Context) error costs no
// reflection.
//
// Traced panics when f is not a function, which is a mistake in the program.
func Traced[F any](name string, f F, options ...SpanOption) F {
	var out any
	switch f := any(f).(type) {
	case func():
		out = func() {
			_ = Run(context.Background(), name, func(context.Context) error { f(); return nil }, options...)
		}
	case func() error:
		out = func() error {
			return Run(context.Background(), name, func(context.Context) error { return f() }, options...)
		}
	case func(context.Context):
		out = func(ctx context.Context) {
			_ = Run(ctx, name, func(ctx context.Context) error { f(ctx); return nil }, options...)
		}
	case func(context.Context) error:
		out = func(ctx context.Context) error { return Run(ctx, name, f, options...) }
	default:
		v := reflect.ValueOf(f)
		if v.Kind() != reflect.Func || v.IsNil() {
			panic(fmt.Sprintf("sdk: Traced(%q, …) of %T, which is no function", name, f)) //nolint:forbidigo // there is no call that could return it
		}
		t := &tracedFunc{name: name, f: v, options: options, shape: shapeOf(v.Type())}
		out = reflect.MakeFunc(v.Type(), t.call).Interface()
	}
	traced, _ := out.(F)
	return traced
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errType     = reflect.TypeFor[error]()
)

// shape is what is known of a function's type.
type shape struct {
	ctx    bool // the first argument is a context
	err    bool // the last result is an error
	stream int  // the result that is a stream; -1 for none
}

func shapeOf(t reflect.Type) shape {
	s := shape{stream: -1}
	s.ctx = t.NumIn() > 0 && t.In(0) == contextType
	s.err = t.NumOut() > 0 && t.Out(t.NumOut()-1) == errType
	for i := range t.NumOut() {
		if s.stream < 0 && streamOf(t.Out(i)) != noStream {
			s.stream = i
		}
	}
	return s
}

type tracedFunc struct {
	name    string
	f       reflect.Value
	options []SpanOption
	shape   shape
}

// call is one call of the function.
func (t *tracedFunc) call(args []reflect.Value) []reflect.Value {
	ctx := context.Background()
	if t.shape.ctx {
		if given, ok := args[0].Interface().(context.Context); ok {
			ctx = given
		}
	}
	ctx, span := Start(ctx, t.name, t.options...)
	if t.shape.ctx {
		args[0] = reflect.ValueOf(&ctx).Elem()
	}
	if !span.capture.on {
		return t.do(args)
	}
	if span.capture.limit > 0 {
		span.SetInput(gathered(args, t.shape.ctx, false))
	}
	return t.record(ctx, span, args)
}

func (t *tracedFunc) do(args []reflect.Value) []reflect.Value {
	if t.f.Type().IsVariadic() {
		return t.f.CallSlice(args)
	}
	return t.f.Call(args)
}

// record does a call whose span is recorded.
func (t *tracedFunc) record(ctx context.Context, span Span, args []reflect.Value) (results []reflect.Value) {
	returned := false
	defer func() {
		if !returned {
			leave(span, recover())
		}
	}()
	results = t.do(args)
	returned = true
	var err error
	if t.shape.err {
		err, _ = results[len(results)-1].Interface().(error)
	}
	if i := t.shape.stream; i >= 0 && err == nil && !results[i].IsNil() {
		results[i] = follow(ctx, span, t.name, t.options, results[i])
		return results
	}
	if err == nil && span.capture.limit > 0 && len(results) > boolInt(t.shape.err) {
		span.SetOutput(gathered(results, false, t.shape.err))
	}
	span.finish(ctx, err)
	span.End()
	return results
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// gathered is what is captured of arguments or results: one as it is, several as a
// list, contexts and the last error left out.
func gathered(values []reflect.Value, withoutFirst, withoutLast bool) any {
	values = values[boolInt(withoutFirst) : len(values)-boolInt(withoutLast)]
	list := make([]any, 0, len(values))
	for _, v := range values {
		if v.Type().Implements(contextType) {
			continue
		}
		list = append(list, v.Interface())
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// follow gives a stream that ends the span when it ends itself, or is forgotten.
func follow(ctx context.Context, span Span, name string, options []SpanOption, stream reflect.Value) reflect.Value {
	begun := newStream(ctx, span, options)
	again := func() *streamSpan { return startStream(ctx, name, options) }
	switch streamOf(stream.Type()) {
	case seqStream:
		first := &firstTime{stream: begun}
		runtime.AddCleanup(first, func(s *streamSpan) { s.end(false) }, begun)
		return reflect.MakeFunc(stream.Type(), func(args []reflect.Value) []reflect.Value {
			iterate(first.take(again), stream, args[0])
			return nil
		})
	case chanStream:
		return forward(ctx, begun, stream)
	case noStream: // the caller has looked
	}
	return stream
}
