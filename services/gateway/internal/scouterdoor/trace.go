package scouterdoor

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// trace reads a whole trace; one that is not there is empty.
func (d *Door) trace(ctx context.Context, id string) (scouter.Trace, error) {
	var data tracepb.TracesData
	stream, err := d.Traces.GetTrace(ctx, &tracev1.GetTraceRequest{TraceId: id})
	for err == nil {
		var part *tracev1.GetTraceResponse
		if part, err = stream.Recv(); err == nil {
			err = proto.UnmarshalOptions{Merge: true}.Unmarshal(part.GetOtlpTraces(), &data)
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, fault.NotFound) {
		return scouter.TraceOf(&data), nil
	}
	return scouter.Trace{}, err
}

func (d *Door) traceSpans(r *http.Request) (any, error) {
	q := r.URL.Query()
	t, err := d.trace(asCaller(r.Context(), r), q.Get("trace_id"))
	service := q.Get("service_name")
	return map[string]any{"spans": slices.DeleteFunc(t.Spans, func(s scouter.Span) bool { return service != "" && s.Service != service })}, err
}

func (d *Door) baggage(r *http.Request) (any, error) {
	t, err := d.trace(asCaller(r.Context(), r), r.URL.Query().Get("trace_id"))
	return map[string]any{"baggage": t.Baggage}, err
}

// tags are those of a trace; nothing else has any.
func (d *Door) tags(r *http.Request) (any, error) {
	if r.URL.Query().Get("entity_type") != "trace" {
		return map[string]any{"tags": []scouter.Tag{}}, nil
	}
	t, err := d.trace(asCaller(r.Context(), r), r.URL.Query().Get("entity_id"))
	return map[string]any{"tags": t.Tags}, err
}

// filters say which traces are wanted.
type filters struct {
	Service     string     `json:"service_name"`
	HasErrors   *bool      `json:"has_errors"`
	Status      *int32     `json:"status_code"`
	Start       *time.Time `json:"start_time"`
	End         *time.Time `json:"end_time"`
	Limit       int        `json:"limit"`
	CursorStart *time.Time `json:"cursor_start_time"`
	CursorID    string     `json:"cursor_trace_id"`
	Direction   string     `json:"direction"`
	Attributes  []string   `json:"attribute_filters"`
	TraceIDs    []string   `json:"trace_ids"`
	EntityUID   string     `json:"entity_uid"`
	QueueUID    string     `json:"queue_uid"`
}

const (
	usualTraces = 50
	// mostTraces are found at a time.
	mostTraces = 1500
)

// query is what is asked of the store. What it cannot say is looked at behind.
func (f *filters) query() (*tracev1.TraceQuery, error) {
	q := &tracev1.TraceQuery{Service: f.Service, Attributes: map[string]string{}}
	if f.Start != nil {
		q.StartTime = timestamppb.New(*f.Start)
	}
	if f.End != nil {
		q.EndTime = timestamppb.New(*f.End)
	}
	if f.CursorStart != nil && (f.End == nil || f.CursorStart.Before(*f.End)) {
		q.EndTime = timestamppb.New(f.CursorStart.Add(time.Nanosecond)) // with those of the same moment
	}
	if f.HasErrors != nil && *f.HasErrors {
		q.Attributes["error"] = "true"
	}
	if f.EntityUID != "" {
		q.Attributes[scouter.EntityAttribute] = f.EntityUID
	}
	if f.QueueUID != "" {
		q.Attributes[scouter.QueueAttribute] = f.QueueUID
	}
	for _, one := range f.Attributes {
		key, value, ok := strings.Cut(one, ":")
		if !ok || len(f.Attributes) > 1 {
			return nil, fault.Unsupported.New("attribute_filters: one key:value is supported").WithReason("NOT_SERVED")
		}
		q.Attributes[key] = value
	}
	if f.Direction == "previous" {
		return nil, fault.Unsupported.New("direction previous is not supported: keep the pages that were read").WithReason("NOT_SERVED")
	}
	return q, nil
}

// wants looks at what the store was not asked.
func (f *filters) wants(l *scouter.TraceLine) bool {
	switch {
	case f.HasErrors != nil && l.HasErrors != *f.HasErrors, f.Status != nil && l.Status != *f.Status:
		return false
	case f.CursorStart == nil:
		return true
	}
	c := cmp.Or(l.Start.Compare(*f.CursorStart), strings.Compare(l.TraceID, f.CursorID))
	return c < 0
}

// find gives the traces that are wanted, the newest first, and whether there are more.
func (d *Door) find(ctx context.Context, f *filters) (found []scouter.Trace, more bool, err error) {
	if f.Limit <= 0 {
		f.Limit = usualTraces
	}
	f.Limit = min(f.Limit, mostTraces/2)
	q, err := f.query()
	if err != nil {
		return nil, false, err
	}
	all, err := d.read(ctx, q, f)
	if err != nil {
		return nil, false, err
	}
	for _, data := range all {
		if t := scouter.TraceOf(data); len(t.Spans) > 0 && f.wants(&t.Line) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b scouter.Trace) int {
		return cmp.Or(b.Line.Start.Compare(a.Line.Start), strings.Compare(b.Line.TraceID, a.Line.TraceID))
	})
	more = len(found) > f.Limit
	return found[:min(len(found), f.Limit)], more, nil
}

// read gives the spans of the traces that the store finds, by trace.
func (d *Door) read(ctx context.Context, q *tracev1.TraceQuery, f *filters) (map[string]*tracepb.TracesData, error) {
	all := map[string]*tracepb.TracesData{}
	if len(f.TraceIDs) > 0 {
		return all, fault.Unsupported.New("trace_ids are not supported: ask for each").WithReason("NOT_SERVED")
	}
	// More than are wanted, since some are not, and one more tells that there are more.
	stream, err := d.Traces.FindTraces(ctx, &tracev1.FindTracesRequest{Query: q, Limit: uint32(min(2*f.Limit+1, mostTraces))}) //nolint:gosec // bounded
	for err == nil {
		var part *tracev1.FindTracesResponse
		if part, err = stream.Recv(); err != nil || part.GetTraceId() == "" {
			continue
		}
		data := all[part.GetTraceId()]
		if data == nil {
			data = &tracepb.TracesData{}
			all[part.GetTraceId()] = data
		}
		err = proto.UnmarshalOptions{Merge: true}.Unmarshal(part.GetOtlpTraces(), data)
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return all, nil
}

type traceCursor struct {
	Start   time.Time `json:"start_time"`
	TraceID string    `json:"trace_id"`
}

func (d *Door) tracePage(r *http.Request) (any, error) {
	f, err := asked[filters](r)
	if err != nil {
		return nil, err
	}
	found, more, err := d.find(asCaller(r.Context(), r), f)
	if err != nil {
		return nil, err
	}
	items := make([]scouter.TraceLine, len(found))
	for i := range found {
		items[i] = found[i].Line
	}
	var next *traceCursor
	if more {
		last := items[len(items)-1]
		next = &traceCursor{last.Start, last.TraceID}
	}
	return map[string]any{"items": items, "has_next": more, "next_cursor": next, "has_previous": false, "previous_cursor": nil}, nil
}

func (d *Door) filteredSpans(r *http.Request) (any, error) {
	f, err := asked[filters](r)
	if err != nil {
		return nil, err
	}
	found, _, err := d.find(asCaller(r.Context(), r), f)
	if err != nil {
		return nil, err
	}
	spans := []scouter.Span{}
	for _, t := range found {
		spans = append(spans, t.Spans...)
	}
	return map[string]any{"spans": spans}, nil
}
