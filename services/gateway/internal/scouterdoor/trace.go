package scouterdoor

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

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
	t, err := d.trace(asCaller(r.Context(), r), cmp.Or(r.PathValue("id"), q.Get("trace_id")))
	service := q.Get("service_name")
	return map[string]any{"spans": slices.DeleteFunc(t.Spans, func(s scouter.Span) bool { return service != "" && s.Service != service })}, err
}

func (d *Door) baggage(r *http.Request) (any, error) {
	t, err := d.trace(asCaller(r.Context(), r), r.URL.Query().Get("trace_id"))
	return map[string]any{"baggage": t.Baggage}, err
}

// tracePageOf is what was found, and whether there is more that way.
type tracePageOf struct {
	traces      []scouter.Trace
	first, last *tracev1.TracePlace // of the page in the order of the store, nil for none
	more        bool
}

// maxRounds is how often the store is asked for one page, when it finds what is not
// wanted.
const maxRounds = 20

// find gives a page of the traces that are wanted, the newest first.
func (d *Door) find(ctx context.Context, f *filters) (page tracePageOf, err error) {
	q, err := f.query()
	if err != nil {
		return page, err
	}
	limit := f.limit()
	req := &tracev1.FindTracesRequest{Query: q, After: f.after(), OldestFirst: f.back()}
	for range maxRounds {
		req.Limit = uint32(min(limit-len(page.traces)+1, mostTraces)) //nolint:gosec // bounded
		var some []placed
		if some, page.more, err = d.read(ctx, req); err != nil {
			return page, err
		}
		for _, one := range some {
			if len(page.traces) == limit {
				page.more = true
				break
			}
			if page.last = one.place; page.first == nil {
				page.first = one.place
			}
			if t := scouter.TraceOf(one.data); len(t.Spans) > 0 && f.wants(&t) {
				page.traces = append(page.traces, t)
			}
		}
		if len(page.traces) == limit || !page.more {
			break
		}
		req.After = page.last
	}
	slices.SortStableFunc(page.traces, func(a, b scouter.Trace) int { return b.Line.Start.Compare(a.Line.Start) })
	return page, nil
}

// placed is a trace and where it stands among those that the store finds.
type placed struct {
	place *tracev1.TracePlace
	data  *tracepb.TracesData
}

// read gives traces in the order of the store.
func (d *Door) read(ctx context.Context, req *tracev1.FindTracesRequest) (all []placed, more bool, err error) {
	stream, err := d.Traces.FindTraces(ctx, req)
	for err == nil {
		var part *tracev1.FindTracesResponse
		if part, err = stream.Recv(); err != nil {
			break
		}
		more = more || part.GetMore()
		if part.GetTraceId() == "" {
			continue
		}
		if n := len(all); n == 0 || all[n-1].place.GetTraceId() != part.GetTraceId() {
			place := part.GetPlace()
			if place == nil { // a store from before there were places
				place = &tracev1.TracePlace{TraceId: part.GetTraceId()}
			}
			all = append(all, placed{place, &tracepb.TracesData{}})
		}
		err = proto.UnmarshalOptions{Merge: true}.Unmarshal(part.GetOtlpTraces(), all[len(all)-1].data)
	}
	if !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return all, more, nil
}

func (d *Door) tracePage(r *http.Request) (any, error) {
	f, err := asked[filters](r)
	if err != nil {
		return nil, err
	}
	return d.pageOf(asCaller(r.Context(), r), f)
}

func (d *Door) recentTraces(r *http.Request) (any, error) {
	return d.pageOf(asCaller(r.Context(), r), &filters{})
}

// pageOf is a page, whose cursors lead to both sides. There is a page before the one
// that a cursor led to, and one behind the one that a cursor led back to.
func (d *Door) pageOf(ctx context.Context, f *filters) (any, error) {
	found, err := d.find(ctx, f)
	if err != nil {
		return nil, err
	}
	items := make([]scouter.TraceLine, len(found.traces))
	for i := range found.traces {
		items[i] = found.traces[i].Line
	}
	var next, previous *traceCursor
	if found.last != nil {
		behind, before := found.last, found.first
		hasNext, hasPrevious := found.more, f.after() != nil
		if f.back() {
			behind, before, hasNext, hasPrevious = before, behind, hasPrevious, hasNext
		}
		if hasNext {
			next = cursorOf(behind)
		}
		if hasPrevious {
			previous = cursorOf(before)
		}
	}
	return paged(items, next, previous), nil
}

func (d *Door) filteredSpans(r *http.Request) (any, error) {
	f, err := asked[filters](r)
	if err != nil {
		return nil, err
	}
	return d.spansOf(asCaller(r.Context(), r), f)
}

func (d *Door) spansOf(ctx context.Context, f *filters) (any, error) {
	found, err := d.find(ctx, f)
	spans := []scouter.Span{}
	for _, t := range found.traces {
		for _, s := range t.Spans {
			if f.onlyOf == "" || s.Service == f.onlyOf {
				spans = append(spans, s)
			}
		}
	}
	return map[string]any{"spans": spans}, err
}
