package jaeger

import (
	"net/http"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// summary is a trace in one line, as Jaeger's api_v3 has it.
type summary struct {
	TraceID           string           `json:"traceId"`
	RootServiceName   string           `json:"rootServiceName,omitempty"`
	RootOperationName string           `json:"rootOperationName,omitempty"`
	MinStart          string           `json:"minStartTimeUnixNano"`
	MaxEnd            string           `json:"maxEndTimeUnixNano"`
	SpanCount         uint32           `json:"spanCount"`
	ErrorSpanCount    uint32           `json:"errorSpanCount"`
	Services          []serviceSummary `json:"services"`
}

type serviceSummary struct {
	Name           string `json:"name"`
	SpanCount      uint32 `json:"spanCount"`
	ErrorSpanCount uint32 `json:"errorSpanCount"`
}

func summaryOf(t *tracev1.TraceSummary) summary {
	end := t.GetStartTime().AsTime().Add(t.GetDuration().AsDuration())
	s := summary{
		TraceID:  t.GetTraceId(),
		MinStart: nanos(t.GetStartTime()), MaxEnd: nanos(timestamppb.New(end)),
		SpanCount: t.GetSpans(), ErrorSpanCount: t.GetErrors(),
		Services: make([]serviceSummary, 0, len(t.GetServiceCounts())),
	}
	if t.GetHasRoot() { // without one there is none to name
		s.RootServiceName, s.RootOperationName = t.GetRootService(), t.GetRootOperation()
	}
	for _, c := range t.GetServiceCounts() {
		s.Services = append(s.Services, serviceSummary{Name: c.GetService(), SpanCount: c.GetSpans(), ErrorSpanCount: c.GetErrors()})
	}
	return s
}

func nanos(t *timestamppb.Timestamp) string { return strconv.FormatInt(t.AsTime().UnixNano(), 10) }

// summariesV3 gives the store's own summaries of the matching traces.
func (h *Handler) summariesV3(w http.ResponseWriter, r *http.Request) {
	q, err := searchOfV3(r)
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	resp, err := h.traces.SearchTraces(ctx, &tracev1.SearchTracesRequest{Query: q.query(), PageSize: q.limit})
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	list := make([]summary, 0, len(resp.GetTraces()))
	for _, t := range resp.GetTraces() {
		list = append(list, summaryOf(t))
	}
	answer := map[string]any{"summaries": list}
	if resp.GetNextPageToken() != "" {
		answer["more"] = true // than were asked for
	}
	writeJSON(w, http.StatusOK, answer)
}
