package jaeger

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strconv"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/spantree"
)

// traceWriter writes {"data":[traces],…}, one trace at a time: what is odd about
// a span can be said only when the whole trace is known.
type traceWriter struct {
	answer    *held
	w         *bufio.Writer
	started   bool               // a trace was written
	trace     tracepb.TracesData // the parts of the one that is not
	current   string             // its id among the parts
	truncated bool
	more      bool // there are more traces
	errors    []jsonError
}

const writeBuffer = 32 << 10

func newTraceWriter(answer *held) *traceWriter {
	t := &traceWriter{answer: answer, w: bufio.NewWriterSize(answer, writeBuffer)}
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

// add takes a part, which ends the trace before it when it is of another.
func (t *traceWriter) add(p part) error {
	t.more = t.more || p.more
	if len(p.otlp) == 0 {
		t.truncated = t.truncated || p.truncated
		return nil // says something about the others
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(p.otlp, &data); err != nil {
		return fmt.Errorf("decode trace: %w", err)
	}
	if p.traceID != t.current {
		if err := t.finish(); err != nil {
			return err
		}
		t.current = p.traceID
	}
	t.truncated = t.truncated || p.truncated
	t.trace.ResourceSpans = append(t.trace.ResourceSpans, data.GetResourceSpans()...)
	return nil
}

// begun reports whether there is a trace at all.
func (t *traceWriter) begun() bool { return t.started || len(t.trace.GetResourceSpans()) > 0 }

// finish writes the trace whose parts are there, if there are any.
func (t *traceWriter) finish() error {
	tree := spantree.Build(spantree.Of(&t.trace))
	processes := newProcessTable()
	n := 0
	for _, rs := range t.trace.GetResourceSpans() {
		process, err := processes.key(rs.GetResource())
		if err != nil {
			return err
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				if n == 0 {
					t.open(s)
				} else {
					t.text(",")
				}
				js := spanOf(s, ss.GetScope(), &tree.Nodes[n])
				js.ProcessID = process
				if err := t.json(js); err != nil {
					return err
				}
				n++
			}
		}
	}
	if n > 0 {
		t.close(processes)
	}
	t.trace, t.truncated = tracepb.TracesData{}, false
	return nil
}

func (t *traceWriter) open(first *tracepb.Span) {
	if t.started {
		t.text(",")
	}
	t.started = true
	t.text(`{"traceID":"` + traceText(first.GetTraceId()) + `","spans":[`)
}

func (t *traceWriter) close(processes *processTable) {
	t.text(`],"processes":{`)
	for i, p := range processes.list {
		if i > 0 {
			t.text(",")
		}
		t.text(`"p` + strconv.Itoa(i+1) + `":`)
		_, _ = t.w.Write(p)
	}
	t.text(`},"warnings":`)
	var warnings []string
	if t.truncated {
		warnings = append(warnings, "the trace has more spans than the trace store sends at once; these are the first of them")
	}
	_ = t.json(warnings) // texts always encode
	t.text(`}`)
}

// end writes the last trace and what stands behind the list. "more" is ours: it
// is there when more traces match than were asked for.
func (t *traceWriter) end() error {
	if err := t.finish(); err != nil {
		return err
	}
	t.text(`],"total":0,"limit":0,"offset":0,"errors":`)
	_ = t.json(t.errors) // texts always encode
	if t.more {
		t.text(`,"more":true`)
	}
	t.text("}")
	_ = t.w.Flush() // the caller went away: nobody is left to tell
	t.answer.send()
	return nil
}
