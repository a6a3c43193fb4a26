package sdk

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the tracer that the helpers use.
const scope = "github.com/driftmesh/driftmesh/sdk"

// Span is OpenTelemetry's span with more words. It is a value to be passed on, and
// stands wherever a trace.Span does. Start, Current and Client.Start make it.
type Span struct {
	trace.Span
	capture capturing
}

// Start begins a span below the one in ctx, and returns a context in which it is the
// current one. It must be ended:
//
//	ctx, span := sdk.Start(ctx, "price", sdk.Tag("customer", id))
//	defer span.End()
//
// Below a span that is not sampled nothing begins, and nothing is allocated: ctx
// comes back as it is, and so does its span, which records nothing and does not end.
func Start(ctx context.Context, name string, options ...SpanOption) (context.Context, Span) {
	said := saidBy(options)
	of := tracerFor(ctx, options, said)
	if of.Tracer == nil || of.parentDecides && !said.has(isRoot) && unsampled(ctx) {
		return withBaggage(ctx, options, said), Span{Span: trace.SpanFromContext(ctx)}
	}
	return start(ctx, of, name, options, said)
}

// said is which options there are, so that the list is not searched for each.
type said struct {
	kinds      uint16
	attributes int
}

func saidBy(options []SpanOption) (s said) {
	for i := range options {
		s.kinds |= 1 << options[i].is
		if options[i].is <= isBaggage {
			s.attributes++
		}
	}
	return s
}

func (s said) has(o spanOption) bool { return s.kinds&(1<<o) != 0 }

// unsampled tells that the current span is one that its caller does not record.
func unsampled(ctx context.Context) bool {
	span := trace.SpanFromContext(ctx)
	sc := span.SpanContext()
	return sc.IsValid() && !sc.IsSampled() && !span.IsRecording()
}

// choice is the tracer to use.
type choice struct {
	trace.Tracer       // nil where tracing is off
	parentDecides bool // its spans do as their parent does
	own           bool // it is a client's, whose sampler does not look at attributes
}

// tracerFor chooses the tracer: the one that is asked for, the default client's, that
// of the current span, OpenTelemetry's.
func tracerFor(ctx context.Context, options []SpanOption, said said) choice {
	for i := range options {
		if !said.has(isProvider) {
			break
		}
		if p, ok := options[i].any.(trace.TracerProvider); ok && options[i].is == isProvider {
			return choice{Tracer: p.Tracer(scope)}
		}
	}
	if c := Default(); c != nil {
		return choice{c.tracer, c.parentDecides, true}
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return choice{Tracer: span.TracerProvider().Tracer(scope)}
	}
	return choice{Tracer: otel.GetTracerProvider().Tracer(scope)}
}

// start is Start for a span that may be recorded.
func start(ctx context.Context, by choice, name string, options []SpanOption, said said) (context.Context, Span) {
	ctx = withBaggage(ctx, options, said)
	var (
		config   []trace.SpanStartOption
		input    any
		captures bool
	)
	if !by.own && said.attributes > 0 {
		config = append(config, trace.WithAttributes(attributesOf(options, said)...))
	}
	for i := range options {
		switch o := &options[i]; o.is {
		case isKind:
			config = append(config, trace.WithSpanKind(trace.SpanKind(o.n)))
		case isLink:
			if link, ok := o.any.(trace.Link); ok {
				config = append(config, trace.WithLinks(link))
			}
		case isRoot:
			config = append(config, trace.WithNewRoot())
			if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
				config = append(config, trace.WithLinks(trace.Link{SpanContext: sc}))
			}
		case isInput:
			input, captures = o.any, true
		default: // read elsewhere
		}
	}
	ctx, of := by.Start(ctx, name, config...)
	span := Span{Span: of}
	if of.IsRecording() {
		if by.own && said.attributes > 0 {
			span.SetAttributes(attributesOf(options, said)...)
		}
		span.capture = capturingOf(options)
		span.capture.span = name
		if said.has(isLimit) || said.has(isRedaction) {
			ctx = context.WithValue(ctx, strict{}, span)
		}
		if captures {
			span.SetInput(input)
		}
	}
	return ctx, span
}

// attributesOf are the attributes among the options.
func attributesOf(options []SpanOption, said said) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, said.attributes)
	for i := range options {
		if options[i].is <= isBaggage {
			list = append(list, options[i].attribute())
		}
	}
	return list
}

// withBaggage puts what is to go along into the baggage of ctx.
func withBaggage(ctx context.Context, options []SpanOption, said said) context.Context {
	if !said.has(isBaggage) && !said.has(isTraceTag) {
		return ctx
	}
	for i := range options {
		o := &options[i]
		if o.is != isBaggage && o.is != isTraceTag {
			continue
		}
		key := string(o.kv.Key)
		if o.is == isTraceTag {
			key = AttrTag + key
		}
		member, err := baggage.NewMemberRaw(key, o.kv.Value.AsString())
		if err == nil {
			var all baggage.Baggage
			if all, err = baggage.FromContext(ctx).SetMember(member); err == nil {
				ctx = baggage.ContextWithBaggage(ctx, all) //nolint:fatcontext // one for each that was asked for
			}
		}
		if err != nil {
			otel.Handle(err) // there is no room: the work goes on
		}
	}
	return ctx
}

// strict is where a context has the last span that captures in a way of its own.
type strict struct{}

// Current is the current span of ctx, which records nothing when there is none. It
// captures as the span was told to.
func Current(ctx context.Context) Span {
	span := Span{Span: trace.SpanFromContext(ctx)}
	if !span.IsRecording() {
		return span
	}
	if own, is := ctx.Value(strict{}).(Span); is && own.SpanContext().SpanID() == span.SpanContext().SpanID() {
		return own
	}
	span.capture = capturingOf(nil)
	return span
}

// SetTag sets a tag; see [Tag].
func (s Span) SetTag(key, value string) {
	if s.IsRecording() {
		s.SetAttributes(attribute.String(AttrTag+key, value))
	}
}

// SetLabel sets the label; see [Label].
func (s Span) SetLabel(label string) {
	if s.IsRecording() {
		s.SetAttributes(attribute.String(AttrLabel, label))
	}
}

// SetInput captures what goes into the work, as JSON, at once.
func (s Span) SetInput(value any) { s.capture.set(s.Span, CaptureInput, AttrInput, value) }

// SetOutput captures what comes out of the work, as JSON, at once.
func (s Span) SetOutput(value any) { s.capture.set(s.Span, CaptureOutput, AttrOutput, value) }

// Event adds an event with a payload, captured as JSON; nil is none.
func (s Span) Event(name string, payload any, attributes ...attribute.KeyValue) {
	if !s.IsRecording() {
		return
	}
	if payload != nil {
		if text, cut, ok := s.capture.text(CaptureEvent, name, payload); ok {
			attributes = append(attributes[:len(attributes):len(attributes)], attribute.String(AttrPayload, text))
			if cut {
				attributes = append(attributes, attribute.Bool(AttrPayload+AttrTruncated, true))
			}
		}
	}
	s.AddEvent(name, trace.WithAttributes(attributes...))
}

// RecordError adds an event with the error, its type, the stack and the whole tree
// of what it wraps. It does not make the span one that failed; Fail does.
func (s Span) RecordError(err error, options ...trace.EventOption) {
	if err == nil || !s.IsRecording() {
		return
	}
	attributes := errorAttributes(err)
	config := trace.NewEventConfig(options...)
	if config.StackTrace() || len(options) == 0 {
		attributes = append(attributes, attribute.String("exception.stacktrace", stack()))
	}
	options = append([]trace.EventOption{trace.WithAttributes(attributes...)}, options...)
	s.AddEvent(EventException, options...)
}

// Fail records an error and makes the span one that failed. nil does nothing.
func (s Span) Fail(err error) {
	if err == nil || !s.IsRecording() {
		return
	}
	s.RecordError(err)
	text, _ := cutText(errorText(err), statusLimit)
	s.failed(text, errorType(err))
}

// failed makes the span one that failed.
func (s Span) failed(text, kind string) {
	s.SetStatus(codes.Error, text)
	s.SetAttributes(attribute.String("error.type", kind))
}

// statusLimit bounds the description of a status.
const statusLimit = 1000

// finish says how work ended whose context and error are given.
func (s Span) finish(ctx context.Context, err error) {
	s.Fail(err)
	reason := ctx.Err()
	if reason == nil {
		// A deadline of the work's own, below ctx.
		reason = contextError(err, maxDepth)
	}
	s.canceled(ctx, reason)
}

func (s Span) canceled(ctx context.Context, reason error) {
	if reason == nil {
		return
	}
	word := "canceled"
	if errors.Is(reason, context.DeadlineExceeded) {
		word = "deadline exceeded"
	}
	s.SetAttributes(attribute.String(AttrCanceled, word))
	if cause := context.Cause(ctx); cause != nil && !errors.Is(reason, cause) {
		text, _ := cutText(errorText(cause), statusLimit)
		s.SetAttributes(attribute.String(AttrCancelCause, text))
	}
}

// RecordPanic records what somebody panicked with, for those who recover from panics
// themselves, and makes the span one that failed. Do, Run, Wrap, Traced and the
// handlers of grpctracing and httptracing do it.
func (s Span) RecordPanic(value any) {
	if !s.IsRecording() {
		return
	}
	attributes := panicAttributes(value)
	attributes = append(attributes, attribute.String("exception.stacktrace", string(debug.Stack())), attribute.Bool("exception.escaped", true))
	s.AddEvent(EventException, trace.WithAttributes(attributes...))
	text, _ := cutText(panicText(value), statusLimit)
	s.failed("panic: "+text, "panic")
}

// EndAt ends the span at a time.
func (s Span) EndAt(t time.Time) { s.End(trace.WithTimestamp(t)) }

// ID gives the ids of the span as hex, for logs; empty when there is none.
func (s Span) ID() (trace, span string) {
	sc := s.SpanContext()
	if !sc.IsValid() {
		return "", ""
	}
	return sc.TraceID().String(), sc.SpanID().String()
}
