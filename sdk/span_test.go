package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// recorder is a provider whose spans are looked at.
func recorder(t testing.TB, options ...sdktrace.TracerProviderOption) (*tracetest.SpanRecorder, SpanOption) {
	t.Helper()
	r := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(TraceTags()), sdktrace.WithSpanProcessor(r))...)
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return r, InProvider(p)
}

// oneSpan is the one span that ended.
func oneSpan(t testing.TB, r *tracetest.SpanRecorder) sdktrace.ReadOnlySpan {
	t.Helper()
	require.Len(t, r.Ended(), 1)
	return r.Ended()[0]
}

func attributes(list []attribute.KeyValue) map[string]any {
	out := map[string]any{}
	for _, kv := range list {
		out[string(kv.Key)] = kv.Value.AsInterface()
	}
	return out
}

func event(t testing.TB, s sdktrace.ReadOnlySpan, name string) map[string]any {
	t.Helper()
	for _, e := range s.Events() {
		if e.Name == name {
			return attributes(e.Attributes)
		}
	}
	require.Fail(t, "no event "+name)
	return nil
}

func TestDo(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	ctx, parent := Start(t.Context(), "outer", in)
	got, err := Do(ctx, "inner", func(ctx context.Context) (int, error) {
		require.Equal(t, trace.SpanContextFromContext(ctx).TraceID(), parent.SpanContext().TraceID())
		Current(ctx).SetTag("late", "yes")
		Current(ctx).Event("thought", map[string]any{"n": 1}, attribute.Int("k", 2))
		return 42, nil
	}, in, Input(map[string]int{"a": 1}), Tag("customer", "c1"), Label("v2"), Attr(attribute.Int("rows", 3)), Kind(trace.SpanKindClient), Link(parent.SpanContext(), attribute.String("why", "so")))
	require.NoError(t, err)
	require.Equal(t, 42, got)
	s := oneSpan(t, r)
	require.Equal(t, "inner", s.Name())
	require.Equal(t, parent.SpanContext().SpanID(), s.Parent().SpanID())
	require.Equal(t, trace.SpanKindClient, s.SpanKind())
	require.Equal(t, map[string]any{
		"driftmesh.tag.customer": "c1", "driftmesh.label": "v2", "rows": int64(3), "driftmesh.tag.late": "yes",
		"driftmesh.input": `{"a":1}`, "driftmesh.output": "42",
	}, attributes(s.Attributes()))
	require.Equal(t, map[string]any{"driftmesh.payload": `{"n":1}`, "k": int64(2)}, event(t, s, "thought"))
	require.Equal(t, parent.SpanContext(), s.Links()[0].SpanContext)
	require.Equal(t, codes.Unset, s.Status().Code)
	parent.End()
	require.Len(t, r.Ended(), 2)
}

func TestCaptureOptions(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	long := strings.Repeat("é", 10_000)
	do := func(options ...SpanOption) map[string]any {
		_, err := Do(t.Context(), "x", func(context.Context) (string, error) { return long, nil }, append(options, in, Input(long))...)
		require.NoError(t, err)
		return attributes(r.Ended()[len(r.Ended())-1].Attributes())
	}
	got := do()
	require.Equal(t, `"`+long[:2*4999]+truncated, got["driftmesh.output"], "cut at 5,000 characters")
	require.Equal(t, true, got["driftmesh.input.truncated"])
	require.Equal(t, `"éé`+truncated, do(CaptureLimit(3))["driftmesh.input"])
	require.Equal(t, `"`+long+`"`, do(CaptureLimit(20_000))["driftmesh.input"])
	require.Empty(t, do(NoCapture()))
	require.Equal(t, map[string]any{"driftmesh.output": `"***"`}, do(Redact(func(c Capture) any {
		if c.Kind == CaptureInput {
			return nil
		}
		return "***"
	})))
}

type codeError struct {
	Code   int
	Secret string `driftmesh:"redact"`
	err    error
}

func (e *codeError) Error() string { return fmt.Sprint("code ", e.Code) }
func (e *codeError) Unwrap() error { return e.err }

func TestErrorsAreRecordedWhole(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	failure := fmt.Errorf("load: %w", errors.Join(&codeError{7, "s", fs.ErrNotExist}, fmt.Errorf("and %w, %w", errors.New("one"), context.Canceled)))
	_, err := Do(t.Context(), "x", func(context.Context) (int, error) { return 0, failure }, in)
	require.Same(t, failure, err)
	s := oneSpan(t, r)
	require.Equal(t, sdktrace.Status{Code: codes.Error, Description: failure.Error()}, s.Status())
	require.Equal(t, "*sdk.codeError", attributes(s.Attributes())["error.type"])
	require.Equal(t, "canceled", attributes(s.Attributes())["driftmesh.canceled"])
	e := event(t, s, "exception")
	require.Equal(t, failure.Error(), e["exception.message"])
	require.Equal(t, "*sdk.codeError", e["exception.type"])
	require.Contains(t, e["exception.stacktrace"], "TestErrorsAreRecordedWhole")
	require.NotContains(t, e["exception.stacktrace"], "sdk.Span")
	var tree ErrorTree
	text, _ := e["driftmesh.error.tree"].(string)
	require.NoError(t, json.Unmarshal([]byte(text), &tree), text)
	require.Equal(t, ErrorTree{Type: "*fmt.wrapError", Message: failure.Error(), Errors: []ErrorTree{{
		Type: "*errors.joinError", Message: "code 7\nand one, context canceled", Errors: []ErrorTree{
			{Type: "*sdk.codeError", Message: "code 7", Value: map[string]any{"Code": 7.0, "Secret": "[redacted]"}, Errors: []ErrorTree{{Type: "*errors.errorString", Message: "file does not exist"}}},
			{Type: "*fmt.wrapErrors", Message: "and one, context canceled", Errors: []ErrorTree{
				{Type: "*errors.errorString", Message: "one"}, {Type: "*errors.errorString", Message: "context canceled"},
			}},
		},
	}}}, tree)
}

type loop struct{}

func (*loop) Error() string   { return "round" }
func (l *loop) Unwrap() error { return l }

type silent struct{}

func (*silent) Error() string { panic("no text") } //nolint:forbidigo // as a user's may

func TestErrorsThatMisbehave(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	for _, failure := range []error{&loop{}, &silent{}, (*silent)(nil)} {
		require.NotPanics(t, func() { _ = Run(t.Context(), "x", func(context.Context) error { return failure }, in) })
	}
	require.Len(t, r.Ended(), 3)
	require.Equal(t, codes.Error, r.Ended()[1].Status().Code)
	many := make([]error, 1000)
	for i := range many {
		many[i] = errors.New("one of many")
	}
	left := maxErrors
	require.LessOrEqual(t, len(errorTree(errors.Join(many...), 0, &left).Errors), maxErrors)
}

func TestPanicsAreRecordedAndGoOn(t *testing.T) {
	t.Parallel()
	value := &struct{ n int }{3}
	for name, f := range map[string]func(in SpanOption, what any){
		"Do": func(in SpanOption, what any) {
			_, _ = Do(t.Context(), "x", func(context.Context) (int, error) { panic(what) }, in) //nolint:forbidigo // as a user's may
		},
		"Run": func(in SpanOption, what any) {
			_ = Run(t.Context(), "x", func(context.Context) error { panic(what) }, in) //nolint:forbidigo // as a user's may
		},
		"Wrap": func(in SpanOption, what any) {
			_, _ = Wrap("x", func(context.Context, int) (int, error) { panic(what) }, in)(t.Context(), 1) //nolint:forbidigo // as a user's may
		},
		"Traced": func(in SpanOption, what any) { Traced("x", func(int) int { panic(what) }, in)(1) }, //nolint:forbidigo // as a user's may
		"TracedSeq": func(in SpanOption, what any) {
			for range TracedSeq(t.Context(), "x", func(yield func(int) bool) { yield(1); panic(what) }, in) { //nolint:forbidigo // as a user's may
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, in := recorder(t)
			require.PanicsWithValue(t, value, func() { f(in, value) }, "the very value")
			s := oneSpan(t, r)
			require.Equal(t, codes.Error, s.Status().Code)
			require.Equal(t, "panic", attributes(s.Attributes())["error.type"])
			e := event(t, s, "exception")
			require.Equal(t, "*struct { n int }", e["exception.type"])
			require.Equal(t, true, e["exception.escaped"])
			require.Contains(t, e["exception.stacktrace"], "span_test.go")
			require.PanicsWithError(t, "e", func() { f(in, errors.New("e")) })
			require.Equal(t, "e", event(t, r.Ended()[1], "exception")["exception.message"])
		})
	}
}

func TestGoexitEndsTheSpan(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = Do(context.Background(), "x", func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }, in)
	}()
	<-done
	event(t, oneSpan(t, r), "runtime.Goexit")
}

func TestCancellationIsVisible(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	_ = Run(ctx, "x", func(context.Context) error { cancel(errors.New("the user left")); return nil }, in)
	ctx, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop()
	_ = Run(ctx, "x", func(ctx context.Context) error { return ctx.Err() }, in)
	_ = Run(t.Context(), "x", func(context.Context) error { return nil }, in)
	require.Equal(t, map[string]any{"driftmesh.canceled": "canceled", "driftmesh.cancel.cause": "the user left"}, attributes(r.Ended()[0].Attributes()))
	require.Equal(t, codes.Unset, r.Ended()[0].Status().Code, "the work was done all the same")
	require.Equal(t, "deadline exceeded", attributes(r.Ended()[1].Attributes())["driftmesh.canceled"])
	require.Equal(t, codes.Error, r.Ended()[1].Status().Code)
	require.Empty(t, r.Ended()[2].Attributes())
}

func TestBaggageAndTraceTags(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	ctx, a := Start(t.Context(), "a", in, TraceTag("tenant", "blue, and green"), Baggage("user", "ann"))
	_, b := Start(ctx, "b", in)
	// What another service gets.
	there := FromHeaders(t.Context(), Headers(ctx))
	_, c := Start(there, "c", in)
	for _, s := range []Span{c, b, a} {
		s.End()
	}
	want := map[string]any{"driftmesh.tag.tenant": "blue, and green"}
	require.Equal(t, want, attributes(r.Ended()[0].Attributes()), "of another service")
	require.Equal(t, want, attributes(r.Ended()[1].Attributes()))
	want["baggage.user"] = "ann"
	require.Equal(t, want, attributes(r.Ended()[2].Attributes()))
	require.Equal(t, "ann", baggage.FromContext(there).Member("user").Value())
	require.Equal(t, a.SpanContext().TraceID(), c.SpanContext().TraceID())
	require.NotPanics(t, func() { Start(t.Context(), "x", in, Baggage("", "\xff"), Baggage("k", strings.Repeat("v", 10_000))) })
}

func TestNewRootIsLinked(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	ctx, a := Start(t.Context(), "a", in)
	_, b := Start(ctx, "b", in, NewRoot())
	b.End()
	a.End()
	require.NotEqual(t, a.SpanContext().TraceID(), b.SpanContext().TraceID())
	require.Equal(t, a.SpanContext(), r.Ended()[0].Links()[0].SpanContext)
}

func TestSpansOfNobody(t *testing.T) {
	t.Parallel()
	require.NotPanics(t, func() {
		s := Current(t.Context())
		s.SetTag("a", "b")
		s.SetLabel("l")
		s.SetInput(1)
		s.SetOutput(1)
		s.Event("e", 1)
		s.Fail(errors.New("x"))
		s.RecordError(nil)
		s.EndAt(time.Now())
		s.End()
		traceID, spanID := s.ID()
		require.Empty(t, traceID+spanID)
	})
}
