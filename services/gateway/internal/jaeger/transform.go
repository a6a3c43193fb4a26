package jaeger

import (
	"encoding/hex"
	"io"
	"iter"
	"net/http"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
)

// transform answers OTLP/JSON that was posted with the same traces in Jaeger's
// own JSON: what its interface does with a file that somebody drops on it.
func (h *Handler) transform(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // bounded by whoever mounts us
	if err != nil {
		h.Fail(w, r, fault.Invalid.Wrap(err, "the body could not be read"))
		return
	}
	raw, err := otlp.FromJSON(body)
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(raw, &data); err != nil {
		h.Fail(w, r, fault.Invalid.Wrap(err, "the body is not OTLP/JSON"))
		return
	}
	h.streamTraces(w, r, byTrace(&data))
}

// byTrace sorts the spans of a document by trace, in the order in which the
// traces come in it.
func byTrace(data *tracepb.TracesData) iter.Seq2[part, error] {
	var order []string
	traces := map[string]*tracepb.TracesData{}
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				id := hex.EncodeToString(s.GetTraceId())
				if traces[id] == nil {
					order, traces[id] = append(order, id), &tracepb.TracesData{}
				}
				traces[id].ResourceSpans = append(traces[id].ResourceSpans, &tracepb.ResourceSpans{
					Resource:   rs.GetResource(),
					ScopeSpans: []*tracepb.ScopeSpans{{Scope: ss.GetScope(), Spans: []*tracepb.Span{s}}},
				})
			}
		}
	}
	return func(yield func(part, error) bool) {
		for _, id := range order {
			raw, err := proto.Marshal(traces[id])
			if !yield(part{traceID: id, otlp: raw}, err) {
				return
			}
		}
	}
}
