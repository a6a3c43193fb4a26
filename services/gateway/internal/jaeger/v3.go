package jaeger

import (
	"bufio"
	"bytes"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

func (h *Handler) servicesV3(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	resp, err := h.traces.ListServices(ctx, &tracev1.ListServicesRequest{})
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string][]string{"services": notNil(resp.GetServices())})
}

func (h *Handler) operationsV3(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	list, err := h.listOperations(r.Context(), q.Get("service"), either(q, "spanKind", "span_kind"))
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	ops := make([]jsonOperation, 0, len(list))
	for _, op := range list {
		kind := jaegerKind(op.GetSpanKind())
		if kind == "" {
			kind = "internal" // as Jaeger has it
		}
		ops = append(ops, jsonOperation{Name: op.GetName(), SpanKind: kind})
	}
	writeJSON(w, http.StatusOK, map[string][]jsonOperation{"operations": ops})
}

// dependenciesV3 counts who called whom from startTime to before endTime.
func (h *Handler) dependenciesV3(w http.ResponseWriter, r *http.Request) {
	req, err := parseDependenciesV3(r.URL.Query())
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	resp, err := h.traces.ListDependencies(ctx, req)
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	list := make([]dependencyV3, 0, len(resp.GetDependencies()))
	for _, d := range resp.GetDependencies() {
		list = append(list, dependencyV3{d.GetParent(), d.GetChild(), d.GetCalls()})
	}
	answer := map[string]any{"dependencies": list}
	if resp.GetTruncated() {
		answer["more"] = true // ours: there are more than these
	}
	writeJSON(w, http.StatusOK, answer)
}

type dependencyV3 struct {
	Parent    string `json:"parent"`
	Child     string `json:"child"`
	CallCount uint64 `json:"callCount,string"`
}

func parseDependenciesV3(v url.Values) (*tracev1.ListDependenciesRequest, error) {
	start, err := parseTime(v, "startTime", "start_time")
	if err != nil {
		return nil, err
	}
	end, err := parseTime(v, "endTime", "end_time")
	if err != nil {
		return nil, err
	}
	switch {
	case start.IsZero():
		return nil, badParam("startTime", "is required")
	case end.IsZero():
		return nil, badParam("endTime", "is required")
	case !start.Before(end):
		return nil, badParam("endTime", "must be after 'startTime'")
	}
	return &tracev1.ListDependenciesRequest{StartTime: timestamppb.New(start), EndTime: timestamppb.New(end)}, nil
}

func (h *Handler) traceV3(w http.ResponseWriter, r *http.Request) {
	id, err := parseTraceID(r.PathValue("id"))
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	if err := checkRaw(r.URL.Query(), "rawTraces", "raw_traces"); err != nil {
		h.failV3(w, r, err)
		return
	}
	req := &tracev1.GetTraceRequest{TraceId: id}
	for _, bound := range []struct {
		camel, snake string
		set          func(*timestamppb.Timestamp)
	}{
		{"startTime", "start_time", func(t *timestamppb.Timestamp) { req.StartTime = t }},
		{"endTime", "end_time", func(t *timestamppb.Timestamp) { req.EndTime = t }},
	} {
		t, err := parseTime(r.URL.Query(), bound.camel, bound.snake)
		if err != nil {
			h.failV3(w, r, err)
			return
		}
		if !t.IsZero() {
			bound.set(timestamppb.New(t))
		}
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	stream, err := h.traces.GetTrace(ctx, req)
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	h.streamOTLP(w, r, partsOf(stream.Recv))
}

func (h *Handler) searchV3(w http.ResponseWriter, r *http.Request) {
	q, err := searchOfV3(r)
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	stream, err := h.traces.FindTraces(ctx, q.request())
	if err != nil {
		h.failV3(w, r, err)
		return
	}
	h.streamOTLP(w, r, partsOf(stream.Recv))
}

func searchOfV3(r *http.Request) (*searchQuery, error) {
	v, err := parametersV3(r)
	if err != nil {
		return nil, err
	}
	return parseSearchV3(v)
}

// parseSearchV3 reads the parameters of GET /api/v3/traces, in either
// spelling. Unlike the legacy search it may name no service.
func parseSearchV3(v url.Values) (*searchQuery, error) {
	q := &searchQuery{
		service:   either(v, "query.serviceName", "query.service_name"),
		operation: either(v, "query.operationName", "query.operation_name"),
		tags:      map[string]string{}, limit: defaultLimit,
	}
	if v.Get("query.filter") != "" {
		return nil, badParam("query.filter", "is not supported; use query.attributes")
	}
	if attrs := v.Get("query.attributes"); attrs != "" {
		if err := addTags(q.tags, attrs); err != nil {
			return nil, badParam("query.attributes", "must be a JSON object of texts, got %q", clip(attrs))
		}
	}
	var err error
	if q.start, err = parseTime(v, "query.startTimeMin", "query.start_time_min"); err != nil {
		return nil, err
	}
	if q.end, err = parseTime(v, "query.startTimeMax", "query.start_time_max"); err != nil {
		return nil, err
	}
	if q.start.IsZero() || q.end.IsZero() {
		return nil, fault.Invalid.New("query.startTimeMin and query.startTimeMax are required")
	}
	if !q.start.Before(q.end) {
		return nil, fault.Invalid.New("query.startTimeMin must be before query.startTimeMax")
	}
	if q.minDuration, err = durationV3(v, "query.durationMin", "query.duration_min"); err != nil {
		return nil, err
	}
	if q.maxDuration, err = durationV3(v, "query.durationMax", "query.duration_max"); err != nil {
		return nil, err
	}
	if q.minDuration > 0 && q.maxDuration > 0 && q.maxDuration < q.minDuration {
		return nil, badParam("query.durationMax", "must not be less than 'query.durationMin'")
	}
	if err := checkRaw(v, "query.rawTraces", "query.raw_traces"); err != nil {
		return nil, err
	}
	for _, name := range []string{"query.searchDepth", "query.search_depth", "query.num_traces"} {
		if v.Get(name) != "" {
			q.limit, err = parseLimit(v, name)
			return q, err
		}
	}
	return q, nil
}

// checkRaw accepts that traces are asked for as they are stored: they always
// are.
func checkRaw(v url.Values, canonical, deprecated string) error {
	if s := either(v, canonical, deprecated); s != "" {
		if _, err := strconv.ParseBool(s); err != nil {
			return badParam(given(v, canonical, deprecated), "must be true or false, got %q", clip(s))
		}
	}
	return nil
}

func either(v url.Values, canonical, deprecated string) string {
	if s := v.Get(canonical); s != "" {
		return s
	}
	return v.Get(deprecated)
}

func given(v url.Values, canonical, deprecated string) string {
	if v.Get(canonical) == "" && v.Get(deprecated) != "" {
		return deprecated
	}
	return canonical
}

// parseTime reads RFC 3339. Grafana does not escape the "+" of a zone, so it
// arrives as a blank.
func parseTime(v url.Values, canonical, deprecated string) (time.Time, error) {
	s := either(v, canonical, deprecated)
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(s, " ", "+"))
	if err != nil || t.Year() < 1970 || t.Year() > 2261 {
		return time.Time{}, badParam(given(v, canonical, deprecated), "must be a time as in RFC 3339, got %q", clip(s))
	}
	return t, nil
}

func durationV3(v url.Values, canonical, deprecated string) (time.Duration, error) {
	return parseDuration(v, given(v, canonical, deprecated))
}

type errorV3 struct {
	GRPCCode   int    `json:"grpcCode,omitempty"`
	HTTPCode   int    `json:"httpCode"`
	Message    string `json:"message"`
	HTTPStatus string `json:"httpStatus,omitempty"`
}

func (h *Handler) errorV3(w http.ResponseWriter, r *http.Request, err error) errorV3 {
	status, message := h.explain(w, r, err)
	return errorV3{
		GRPCCode: int(fault.KindOf(err).Code()), HTTPCode: status,
		Message: message, HTTPStatus: http.StatusText(status),
	}
}

func (h *Handler) failV3(w http.ResponseWriter, r *http.Request, err error) {
	e := h.errorV3(w, r, err)
	writeJSON(w, e.HTTPCode, map[string]errorV3{"error": e})
}

// streamOTLP answers {"result":{"resourceSpans":[…]}} part by part. "truncated"
// is ours: it is there when a trace has more spans, or there are more traces,
// than the store sends.
func (h *Handler) streamOTLP(w http.ResponseWriter, r *http.Request, parts iter.Seq2[part, error]) {
	answer := &held{w: w}
	out := bufio.NewWriterSize(answer, writeBuffer)
	_, _ = out.WriteString(`{"result":{"resourceSpans":[`)
	wrote, truncated := false, false
	for p, err := range parts {
		var raw []byte
		if err == nil {
			raw, err = resourceSpans(p.otlp)
		}
		if err != nil {
			answer.breakOff()
			h.failV3(w, r, err)
			return
		}
		truncated = truncated || p.truncated || p.more
		if len(raw) == 0 {
			continue
		}
		if wrote {
			_ = out.WriteByte(',')
		}
		wrote = true
		_, _ = out.Write(raw)
	}
	if !wrote {
		h.failV3(w, r, fault.NotFound.New("no traces found"))
		return
	}
	_, _ = out.WriteString(`]}`)
	if truncated {
		_, _ = out.WriteString(`,"truncated":true`)
	}
	_ = out.WriteByte('}')
	_ = out.Flush() // the caller went away: nobody is left to tell
	answer.send()
}

// resourceSpans is the inside of the list in OTLP/JSON.
func resourceSpans(traces []byte) ([]byte, error) {
	raw, err := otlp.ToJSON(traces)
	if err != nil {
		return nil, fmt.Errorf("write trace as JSON: %w", err)
	}
	open, end := bytes.IndexByte(raw, '['), bytes.LastIndexByte(raw, ']')
	if open < 0 || end < open {
		return nil, nil
	}
	return raw[open+1 : end], nil
}
