package jaeger

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

func (h *Handler) services(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	resp, err := h.traces.ListServices(ctx, &tracev1.ListServicesRequest{})
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	names := notNil(resp.GetServices())
	h.write(w, r, envelope{Data: names, Total: len(names), More: resp.GetTruncated()})
}

// operationNames lists each name once, whatever its kinds.
func (h *Handler) operationNames(w http.ResponseWriter, r *http.Request) {
	list, err := h.listOperations(r.Context(), r.PathValue("service"), "")
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	names := make([]string, 0, len(list))
	for _, op := range list {
		if len(names) == 0 || names[len(names)-1] != op.GetName() {
			names = append(names, op.GetName())
		}
	}
	h.write(w, r, envelope{Data: names, Total: len(names)})
}

func (h *Handler) operations(w http.ResponseWriter, r *http.Request) {
	service := r.URL.Query().Get("service")
	if service == "" {
		h.Fail(w, r, badParam("service", "is required"))
		return
	}
	list, err := h.listOperations(r.Context(), service, r.URL.Query().Get("spanKind"))
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	ops := make([]jsonOperation, 0, len(list))
	for _, op := range list {
		ops = append(ops, jsonOperation{Name: op.GetName(), SpanKind: jaegerKind(op.GetSpanKind())})
	}
	h.write(w, r, envelope{Data: ops, Total: len(ops)})
}

// jaegerKind is "" where OTLP leaves the kind unsaid.
func jaegerKind(kind string) string {
	if kind == "unspecified" {
		return ""
	}
	return kind
}

func (h *Handler) listOperations(ctx context.Context, service, kind string) ([]*tracev1.Operation, error) {
	ctx, cancel := h.bounded(ctx)
	defer cancel()
	resp, err := h.traces.ListOperations(ctx, &tracev1.ListOperationsRequest{Service: service, SpanKind: kind})
	return resp.GetOperations(), err
}

// dependencies counts who called whom in the lookback before endTs, both in
// milliseconds.
func (h *Handler) dependencies(w http.ResponseWriter, r *http.Request) {
	end, err := wholeNumber(r.URL.Query(), "endTs", h.now().UnixMilli())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	back, err := wholeNumber(r.URL.Query(), "lookback", defaultDependencies.Milliseconds())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	resp, err := h.traces.ListDependencies(ctx, &tracev1.ListDependenciesRequest{
		StartTime: timestamppb.New(time.UnixMilli(max(end-back, 0))), EndTime: timestamppb.New(time.UnixMilli(end)),
	})
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	calls := make([]jsonDependency, 0, len(resp.GetDependencies()))
	for _, d := range resp.GetDependencies() {
		calls = append(calls, jsonDependency{Parent: d.GetParent(), Child: d.GetChild(), CallCount: d.GetCalls()})
	}
	h.write(w, r, envelope{Data: calls, Total: len(calls), More: resp.GetTruncated()})
}

// defaultDependencies is Jaeger's.
const defaultDependencies = 24 * time.Hour

func (h *Handler) trace(w http.ResponseWriter, r *http.Request) {
	req, err := traceRequest(r.PathValue("id"), r.URL.Query())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	stream, err := h.traces.GetTrace(ctx, req)
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	h.streamTraces(w, r, partsOf(stream.Recv))
}

func (h *Handler) search(w http.ResponseWriter, r *http.Request) {
	q, err := parseSearch(r.URL.Query(), h.now())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	if len(q.traceIDs) > 0 {
		h.streamTraces(w, r, h.byIDs(ctx, q))
		return
	}
	stream, err := h.traces.FindTraces(ctx, q.request())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	h.streamTraces(w, r, partsOf(stream.Recv))
}

func (q *searchQuery) request() *tracev1.FindTracesRequest {
	return &tracev1.FindTracesRequest{Query: q.query(), Limit: q.limit}
}

func (q *searchQuery) query() *tracev1.TraceQuery {
	tq := &tracev1.TraceQuery{
		Service: q.service, Operation: q.operation, Attributes: q.tags,
		StartTime: timestamppb.New(q.start), EndTime: timestamppb.New(q.end),
	}
	if q.minDuration > 0 {
		tq.MinDuration = durationpb.New(q.minDuration)
	}
	if q.maxDuration > 0 {
		tq.MaxDuration = durationpb.New(q.maxDuration)
	}
	return tq
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
