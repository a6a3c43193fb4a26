package jaeger

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// part is a piece of a trace; pieces of one trace follow one another.
type part struct {
	traceID   string // hex; "" where all parts are of one trace
	otlp      []byte // TracesData
	truncated bool
}

// message is what the trace store streams.
type message interface {
	GetOtlpTraces() []byte
	GetTruncated() bool
}

// partsOf reads a stream until it ends or fails.
func partsOf[M message](recv func() (M, error)) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		for {
			m, err := recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(part{}, err)
				return
			}
			p := part{otlp: m.GetOtlpTraces(), truncated: m.GetTruncated()}
			if len(p.otlp) == 0 {
				continue // says that there are more traces
			}
			if named, ok := any(m).(interface{ GetTraceId() string }); ok {
				p.traceID = named.GetTraceId()
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// missingTrace says that one of several traces asked for is not there.
type missingTrace struct{ id string }

func (m missingTrace) Error() string { return traceNotFound }

// byIDs reads the traces of a search by id, one after the other.
func (h *Handler) byIDs(ctx context.Context, q *searchQuery) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		for _, id := range q.traceIDs {
			stream, err := h.traces.GetTrace(ctx, &tracev1.GetTraceRequest{
				TraceId: id, StartTime: timestamppb.New(q.start), EndTime: timestamppb.New(q.end),
			})
			if err != nil {
				yield(part{}, err)
				return
			}
			for p, err := range partsOf(stream.Recv) {
				p.traceID = id
				if errors.Is(err, fault.NotFound) {
					err = missingTrace{id}
				}
				if !yield(p, err) {
					return
				}
			}
		}
	}
}

// streamTraces answers a legacy request trace by trace and span by span, so
// that a large answer costs no memory. What goes wrong after the first byte is
// told in the envelope's errors.
func (h *Handler) streamTraces(w http.ResponseWriter, r *http.Request, parts iter.Seq2[part, error]) {
	next, stop := iter.Pull2(parts)
	defer stop()
	p, err, ok := next()
	if ok && err != nil && !errors.As(err, &missingTrace{}) {
		h.Fail(w, r, err)
		return
	}
	if !ok && r.PathValue("id") != "" {
		h.Fail(w, r, fault.NotFound.New(traceNotFound))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	out := newTraceWriter(w)
	for ; ok; p, err, ok = next() {
		if missing, is := errors.AsType[missingTrace](err); is {
			out.errors = append(out.errors, jsonError{Msg: traceNotFound, TraceID: shortID(missing.id)})
			continue
		}
		if err == nil {
			err = out.add(p)
		}
		if err != nil {
			status, msg := h.explain(w, r, err)
			out.errors = append(out.errors, jsonError{Code: status, Msg: msg})
			break
		}
	}
	out.end()
}

// shortID is an id of 32 digits as Jaeger writes it.
func shortID(id string) string {
	if len(id) == 32 && id[:16] == "0000000000000000" {
		return id[16:]
	}
	return id
}

// traceWriter writes {"data":[traces],…} incrementally.
type traceWriter struct {
	w         *bufio.Writer
	open      bool   // within a trace
	current   string // its id among the parts
	started   bool   // a trace was written
	spans     int    // of the open trace
	processes *processTable
	warnings  []string
	errors    []jsonError
}

const writeBuffer = 32 << 10

func newTraceWriter(w io.Writer) *traceWriter {
	t := &traceWriter{w: bufio.NewWriterSize(w, writeBuffer)}
	t.text(`{"data":[`)
	return t
}

func (t *traceWriter) text(s string) { _, _ = t.w.WriteString(s) } // bufio keeps the error for Flush

func (t *traceWriter) json(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, _ = t.w.Write(raw)
	return nil
}

func (t *traceWriter) add(p part) error {
	var data tracepb.TracesData
	if err := proto.Unmarshal(p.otlp, &data); err != nil {
		return fmt.Errorf("decode trace: %w", err)
	}
	if t.open && p.traceID != t.current {
		t.closeTrace()
	}
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				t.openTrace(p.traceID, s)
				if err := t.span(rs, ss.GetScope(), s); err != nil {
					return err
				}
			}
		}
	}
	if p.truncated && t.open && len(t.warnings) == 0 {
		t.warnings = append(t.warnings, "the trace has more spans than the trace store sends at once; these are the first of them")
	}
	return nil
}

func (t *traceWriter) openTrace(id string, first *tracepb.Span) {
	if t.open {
		return
	}
	if t.started {
		t.text(",")
	}
	t.open, t.started, t.current = true, true, id
	t.spans, t.processes, t.warnings = 0, newProcessTable(), nil
	t.text(`{"traceID":"` + traceText(first.GetTraceId()) + `","spans":[`)
}

func (t *traceWriter) span(rs *tracepb.ResourceSpans, scope *commonpb.InstrumentationScope, s *tracepb.Span) error {
	js := spanOf(s, scope)
	var err error
	if js.ProcessID, err = t.processes.key(rs.GetResource()); err != nil {
		return err
	}
	if t.spans > 0 {
		t.text(",")
	}
	t.spans++
	return t.json(js)
}

func (t *traceWriter) closeTrace() {
	t.text(`],"processes":{`)
	for i, p := range t.processes.list {
		if i > 0 {
			t.text(",")
		}
		t.text(`"p` + strconv.Itoa(i+1) + `":`)
		_, _ = t.w.Write(p)
	}
	t.text(`},"warnings":`)
	_ = t.json(t.warnings) // texts always encode
	t.text(`}`)
	t.open = false
}

func (t *traceWriter) end() {
	if t.open {
		t.closeTrace()
	}
	t.text(`],"total":0,"limit":0,"offset":0,"errors":`)
	_ = t.json(t.errors) // texts always encode
	t.text("}")
	_ = t.w.Flush() // the caller went away: nobody is left to tell
}
