// Package page shows one trace to whoever follows a link to it with a browser:
// what an alert names. It is made on the server, needs no script and fetches
// nothing.
package page

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/plain"
	"github.com/driftmesh/driftmesh/internal/spantree"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

//go:embed trace.html
var text string

var page = template.Must(template.New("trace").Parse(text))

const (
	// maxRows is how many spans are shown.
	maxRows = 2000
	// timeout bounds the reading of a trace.
	timeout = 30 * time.Second
	// narrowest is the least width of a bar in percent, so that one sees it.
	narrowest = 0.3
)

// Handler shows traces. It is safe for concurrent use.
type Handler struct {
	traces tracev1.TraceServiceClient
}

// New makes a handler that reads from traces; the caller's identity must be in
// the request's context. The pattern it is mounted at names the trace {id}.
func New(traces tracev1.TraceServiceClient) *Handler { return &Handler{traces: traces} }

// row is one span of the page.
type row struct {
	Depth               int
	Service, Name, Kind string
	Took                time.Duration
	Left, Width         float64 // of its bar, in percent
	Failed              bool
	Attributes          []attribute
	Warnings            []string
}

type attribute struct{ Key, Value string }

// view is what the template is given.
type view struct {
	ID      string
	Spans   int
	Took    time.Duration
	Rows    []row
	CutOff  bool
	Trouble string
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	data, cut, err := h.read(ctx, id)
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	v := show(data)
	v.ID, v.CutOff = id, v.CutOff || cut
	write(w, http.StatusOK, v)
}

// Fail answers a request with an error, for people.
func (h *Handler) Fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.Of(err)
	write(w, f.Kind().HTTP(), view{ID: r.PathValue("id"), Trouble: f.Message()})
}

func write(w http.ResponseWriter, status int, v view) {
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the caller went away: nobody is left to tell
}

func (h *Handler) read(ctx context.Context, id string) (data *tracepb.TracesData, cut bool, err error) {
	stream, err := h.traces.GetTrace(ctx, &tracev1.GetTraceRequest{TraceId: id})
	if err != nil {
		return nil, false, err
	}
	data = &tracepb.TracesData{}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return data, cut, nil
		}
		if err != nil {
			return nil, false, err
		}
		var some tracepb.TracesData
		if err := proto.Unmarshal(part.GetOtlpTraces(), &some); err != nil {
			return nil, false, fmt.Errorf("decode trace: %w", err)
		}
		data.ResourceSpans = append(data.ResourceSpans, some.GetResourceSpans()...)
		cut = cut || part.GetTruncated()
	}
}

// show lays the spans out, parents before their children.
func show(data *tracepb.TracesData) view {
	spans := spantree.Of(data)
	tree := spantree.Build(spans)
	var list []*tracepb.Span // as in spans
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			list = append(list, ss.GetSpans()...)
		}
	}
	var first, last uint64
	for i := range spans {
		if start := spans[i].Start; first == 0 || start != 0 && start < first {
			first = start
		}
		last = max(last, spans[i].End)
	}
	whole := float64(max(last, first+1) - first)
	v := view{Spans: len(spans), Took: nanoseconds(first, last)}
	tree.Walk(func(i, depth int) {
		if len(v.Rows) == maxRows {
			v.CutOff = true
			return
		}
		s := &spans[i]
		r := rowOf(list[i])
		r.Depth, r.Service = depth, s.Service
		if r.Service == "" {
			r.Service = spantree.MissingService
		}
		r.Left = min(float64(max(s.Start, first)-first)/whole*100, 100-narrowest)
		r.Width = min(max(float64(r.Took)/whole*100, narrowest), 100-r.Left)
		for _, odd := range tree.Nodes[i].Oddities {
			r.Warnings = append(r.Warnings, odd.String())
		}
		v.Rows = append(v.Rows, r)
	})
	return v
}

func rowOf(s *tracepb.Span) row {
	r := row{
		Name: s.GetName(), Kind: plain.Kind(s.GetKind()), Took: nanoseconds(s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano()),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
	}
	for _, kv := range s.GetAttributes() {
		r.Attributes = append(r.Attributes, attribute{kv.GetKey(), plain.Text(kv.GetValue())})
	}
	return r
}

// nanoseconds is the time from start to end, 0 where that is before it.
func nanoseconds(start, end uint64) time.Duration {
	if end <= start {
		return 0
	}
	return time.Duration(min(end-start, 1<<63-1)) //nolint:gosec // it is within
}
