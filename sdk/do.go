package sdk

import "context"

// Do does f in a span of its own: what it returns is captured as the output, or an
// error makes the span one that failed, a panic is recorded and goes on with the
// same value, and a context that ended is noted with its cause.
//
//	price, err := sdk.Do(ctx, "price", func(ctx context.Context) (Price, error) { … }, sdk.Input(order))
//
// Below a span that is not sampled it costs a few nanoseconds and allocates nothing.
func Do[T any](ctx context.Context, name string, f func(context.Context) (T, error), options ...SpanOption) (T, error) {
	ctx, span := Start(ctx, name, options...)
	if !span.capture.on {
		return f(ctx)
	}
	return record(ctx, span, f)
}

// record does f in a span that is recorded.
func record[T any](ctx context.Context, span Span, f func(context.Context) (T, error)) (out T, err error) {
	returned := false
	defer func() {
		if !returned {
			leave(span, recover())
			return
		}
		span.finish(ctx, err)
		span.End()
	}()
	out, err = f(ctx)
	if err == nil && span.capture.limit > 0 {
		span.SetOutput(out)
	}
	returned = true
	return out, err
}

// leave ends a span whose work did not return: it panicked, and goes on panicking, or
// its goroutine ends.
func leave(span Span, value any) {
	if value == nil {
		span.Event("runtime.Goexit", nil)
		span.End()
		return
	}
	span.RecordPanic(value)
	span.End()
	panic(value) //nolint:forbidigo // the work's own, which goes on
}

// Run is Do for what returns nothing but an error.
func Run(ctx context.Context, name string, f func(context.Context) error, options ...SpanOption) error {
	ctx, span := Start(ctx, name, options...)
	if !span.capture.on {
		return f(ctx)
	}
	span.capture.limit = 0 // nothing comes out
	_, err := record(ctx, span, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// Wrap makes a function that does f in a span, as Do does, with its argument
// captured as the input. It is [Traced] for functions of one shape, without
// reflection.
func Wrap[In, Out any](name string, f func(context.Context, In) (Out, error), options ...SpanOption) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		ctx, span := Start(ctx, name, options...)
		if !span.capture.on {
			return f(ctx, in)
		}
		if span.capture.limit > 0 {
			span.SetInput(in)
		}
		return record(ctx, span, func(ctx context.Context) (Out, error) { return f(ctx, in) })
	}
}
