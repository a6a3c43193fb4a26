package tracestore

import (
	"context"
	"math"

	"google.golang.org/protobuf/types/known/durationpb"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
)

// CountSpans counts the spans that match by time and duration, service and operation.
func (t *traces) CountSpans(ctx context.Context, req *tracev1.CountSpansRequest) (*tracev1.CountSpansResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	search, err := searchOf(req.GetQuery(), 0, "")
	if err != nil {
		return nil, err
	}
	found, err := t.reader.Count(ctx, tenant, query.Count{
		Search: search, Times: int(req.GetTimeBuckets()), Durations: int(req.GetDurationBuckets()), Top: int(req.GetTop()),
	})
	if err != nil {
		return nil, err
	}
	resp := &tracev1.CountSpansResponse{
		Total: tally(found.Total), Sampled: small(found.Sampled), Step: durationpb.New(found.Step),
		Services: named(found.Services), MoreServices: found.MoreServices, Operations: named(found.Operations), MoreOperations: found.MoreOperations,
	}
	for _, r := range found.Rows {
		row := &tracev1.DurationRow{From: durationpb.New(r.From), Spans: make([]uint32, len(r.Spans)), Errors: make([]uint32, len(r.Errors))}
		if r.To > 0 {
			row.To = durationpb.New(r.To)
		}
		for i := range r.Spans {
			row.Spans[i], row.Errors[i] = small(r.Spans[i]), small(r.Errors[i])
		}
		resp.Rows = append(resp.Rows, row)
	}
	return resp, nil
}

func tally(t query.Tally) *tracev1.SpanTally {
	return &tracev1.SpanTally{Spans: t.Spans, Errors: t.Errors, Traces: t.Traces, ErrorTraces: t.ErrorTraces}
}

func named(list []query.NamedTally) []*tracev1.NamedTally {
	out := make([]*tracev1.NamedTally, len(list))
	for i, n := range list {
		out[i] = &tracev1.NamedTally{Name: n.Name, Tally: tally(n.Tally)}
	}
	return out
}

func small(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) }

// ListAttributes gives keys of attributes and their values with counts.
func (t *traces) ListAttributes(ctx context.Context, req *tracev1.ListAttributesRequest) (*tracev1.ListAttributesResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	search, err := searchOf(req.GetQuery(), 0, "")
	if err != nil {
		return nil, err
	}
	found, err := t.reader.Attributes(ctx, tenant, query.AttributeQuery{
		Search: search, Key: req.GetKey(), Containing: req.GetContaining(), Keys: int(req.GetKeys()), Values: int(req.GetValues()),
	})
	if err != nil {
		return nil, err
	}
	resp := &tracev1.ListAttributesResponse{Truncated: found.Truncated, Spans: found.Spans, LookedAt: found.LookedAt}
	for _, a := range found.Attributes {
		out := &tracev1.AttributeTally{Key: a.Key, Spans: a.Spans, MoreValues: a.MoreValues}
		for _, v := range a.Values {
			out.Values = append(out.Values, &tracev1.ValueTally{Value: v.Text, Spans: v.Spans})
		}
		resp.Attributes = append(resp.Attributes, out)
	}
	return resp, nil
}
