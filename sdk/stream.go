package sdk

import (
	"context"
	"iter"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
)

// TracedSeq gives a sequence whose every iteration is a span, from the first item to
// the end, or until its reader leaves. Items are counted; CaptureLast and
// CaptureJoined say what else is kept of them. The first item is an event.
func TracedSeq[V any](ctx context.Context, name string, seq iter.Seq[V], options ...SpanOption) iter.Seq[V] {
	return func(yield func(V) bool) {
		s := startStream(ctx, name, options)
		if s == nil {
			seq(yield)
			return
		}
		s.run(func(whole *bool) {
			seq(func(v V) bool {
				s.item(v, nil)
				*whole = yield(v)
				return *whole
			})
		})
	}
}

// TracedSeq2 is TracedSeq for pairs. Where the second of a pair is an error it is
// recorded, and the first is the item; otherwise the item is both.
func TracedSeq2[K, V any](ctx context.Context, name string, seq iter.Seq2[K, V], options ...SpanOption) iter.Seq2[K, V] {
	fails := reflect.TypeFor[V]() == errType
	return func(yield func(K, V) bool) {
		s := startStream(ctx, name, options)
		if s == nil {
			seq(yield)
			return
		}
		s.run(func(whole *bool) {
			seq(func(k K, v V) bool {
				s.pair(k, v, fails)
				*whole = yield(k, v)
				return *whole
			})
		})
	}
}

// TracedChan gives a channel with the items of another, in a span that lasts until
// that is closed. When ctx ends before, the span says so, and the new channel is
// closed, as whoever sends would do. One who stops reading must end ctx.
func TracedChan[V any](ctx context.Context, name string, from <-chan V, options ...SpanOption) <-chan V {
	s := startStream(ctx, name, options)
	if s == nil {
		return from
	}
	to := make(chan V)
	go func() {
		defer close(to)
		for {
			var v V
			var ok bool
			select {
			case v, ok = <-from:
			case <-s.ctx.Done():
				s.end(false)
				return
			}
			if !ok {
				s.end(true)
				return
			}
			s.item(v, nil)
			select {
			case to <- v:
			case <-s.ctx.Done():
				s.end(false)
				return
			}
		}
	}()
	return to
}

// streamSpan is the span of a stream. Items come one after the other.
type streamSpan struct {
	Span
	ctx          context.Context //nolint:containedctx // of the span, for how it ends
	last, joined bool
	ended        atomic.Bool

	items int64
	final any
	text  strings.Builder // of joined items
	list  []any
	err   error
}

// startStream begins a span of a stream; nil where it is not recorded.
func startStream(ctx context.Context, name string, options []SpanOption) *streamSpan {
	ctx, span := Start(ctx, name, options...)
	if !span.IsRecording() {
		return nil
	}
	return newStream(ctx, span, options)
}

func newStream(ctx context.Context, span Span, options []SpanOption) *streamSpan {
	s := &streamSpan{Span: span, ctx: ctx}
	for i := range options {
		s.last = s.last || options[i].is == isLast
		s.joined = s.joined || options[i].is == isJoined
	}
	if span.capture.limit <= 0 {
		s.last, s.joined = false, false
	}
	return s
}

// run iterates, and ends the span, also when that panics.
func (s *streamSpan) run(iterate func(whole *bool)) {
	returned, whole := false, true
	defer func() {
		if !returned {
			s.keep()
			leave(s.Span, recover())
		}
	}()
	iterate(&whole)
	returned = true
	s.end(whole)
}

// item notes an item, and an error that came with it.
func (s *streamSpan) item(v any, err error) {
	if s.items++; s.items == 1 {
		s.AddEvent(EventFirstItem)
	}
	if err != nil {
		s.err = err
		s.RecordError(err)
		return
	}
	if s.last {
		s.final = v
	}
	if !s.joined {
		return
	}
	if text := reflect.ValueOf(v); text.Kind() == reflect.String && s.list == nil {
		if s.text.Len() <= 4*s.capture.limit { // of bytes, which are at least that many characters
			s.text.WriteString(text.String())
		}
		return
	}
	if s.list == nil && s.text.Len() > 0 {
		s.list = append(s.list, s.text.String())
	}
	if len(s.list) <= s.capture.limit {
		s.list = append(s.list, v)
	}
}

func (s *streamSpan) pair(k, v any, fails bool) {
	switch {
	case fails:
		err, _ := v.(error)
		s.item(k, err)
	case s.last || s.joined:
		s.item([]any{k, v}, nil)
	default:
		s.item(nil, nil)
	}
}

// keep puts on the span what is known of its items.
func (s *streamSpan) keep() {
	s.SetAttributes(attribute.Int64(AttrItems, s.items))
	switch {
	case s.joined && s.list != nil:
		s.SetOutput(s.list)
	case s.joined:
		s.SetOutput(s.text.String())
	case s.last && s.items > 0:
		s.SetOutput(s.final)
	}
}

// end ends the span, once.
func (s *streamSpan) end(whole bool) {
	if s.ended.Swap(true) {
		return
	}
	s.keep()
	s.SetAttributes(attribute.Bool(AttrComplete, whole))
	if s.err != nil {
		// Recorded when it came: here it only says how the stream ended.
		text, _ := cutText(errorText(s.err), statusLimit)
		s.failed(text, errorType(s.err))
	}
	s.finish(s.ctx, nil)
	s.End()
}

// kinds of streams.
type streamKind uint8

const (
	noStream streamKind = iota
	seqStream
	chanStream
)

// streamOf says whether a type is a stream: iter.Seq, iter.Seq2 or a channel to
// receive from.
func streamOf(t reflect.Type) streamKind {
	switch {
	case t.Kind() == reflect.Chan && t.ChanDir() == reflect.RecvDir:
		return chanStream
	case t.Kind() == reflect.Func && t.NumIn() == 1 && t.NumOut() == 0 && !t.IsVariadic():
		yield := t.In(0)
		if yield.Kind() == reflect.Func && yield.NumOut() == 1 && yield.Out(0).Kind() == reflect.Bool &&
			yield.NumIn() >= 1 && yield.NumIn() <= 2 && !yield.IsVariadic() {
			return seqStream
		}
	}
	return noStream
}

// firstTime gives the span of a call to the first iteration, and another to each
// that follows.
type firstTime struct {
	mu     sync.Mutex
	stream *streamSpan
}

func (f *firstTime) take(again func() *streamSpan) *streamSpan {
	f.mu.Lock()
	s := f.stream
	f.stream = nil
	f.mu.Unlock()
	if s == nil || s.ended.Load() {
		return again()
	}
	return s
}

// iterate is one iteration of a sequence whose types only reflection knows.
func iterate(s *streamSpan, seq, yield reflect.Value) {
	if s == nil {
		seq.Call([]reflect.Value{yield})
		return
	}
	fails := yield.Type().NumIn() == 2 && yield.Type().In(1) == errType
	s.run(func(whole *bool) {
		seen := reflect.MakeFunc(yield.Type(), func(item []reflect.Value) []reflect.Value {
			if len(item) == 1 {
				s.item(item[0].Interface(), nil)
			} else {
				s.pair(item[0].Interface(), item[1].Interface(), fails)
			}
			out := yield.Call(item)
			*whole = out[0].Bool()
			return out
		})
		seq.Call([]reflect.Value{seen})
	})
}

// forward is TracedChan for a channel whose type only reflection knows.
func forward(ctx context.Context, s *streamSpan, from reflect.Value) reflect.Value {
	to := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, from.Type().Elem()), 0)
	done := reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}
	go func() {
		defer to.Close()
		for {
			chosen, item, ok := reflect.Select([]reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: from}, done})
			if chosen == 1 || !ok {
				s.end(chosen == 0)
				return
			}
			s.item(item.Interface(), nil)
			if chosen, _, _ := reflect.Select([]reflect.SelectCase{{Dir: reflect.SelectSend, Chan: to, Send: item}, done}); chosen == 1 {
				s.end(false)
				return
			}
		}
	}()
	return to.Convert(from.Type())
}
