package tracestore

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
)

// MeasureServices gives calls, errors and durations of services over time.
func (t *traces) MeasureServices(ctx context.Context, req *tracev1.MeasureServicesRequest) (*tracev1.MeasureServicesResponse, error) {
	ctx, tenant, leave, err := t.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	m, err := measureOf(req)
	if err != nil {
		return nil, err
	}
	var series []query.Series
	sampled := uint64(1)
	if req.GetEstimate() {
		series, sampled, err = t.reader.Estimate(ctx, tenant, m)
	} else {
		series, err = t.reader.Measure(ctx, tenant, m)
	}
	if err != nil {
		return nil, err
	}
	resp := &tracev1.MeasureServicesResponse{Series: make([]*tracev1.ServiceSeries, len(series)), Sampled: small(sampled)}
	for i, s := range series {
		resp.Series[i] = &tracev1.ServiceSeries{
			Service: s.Service, Operation: s.Operation, Calls: s.Calls, Errors: s.Errors, Durations: s.Durations, Duration: s.Duration,
		}
	}
	return resp, nil
}

func measureOf(req *tracev1.MeasureServicesRequest) (query.Measure, error) {
	m := query.Measure{
		Services: req.GetServices(), Kinds: req.GetSpanKinds(), ByOperation: req.GetByOperation(), Quantile: req.Quantile,
	}
	within, err := timeRange(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return m, err
	}
	if req.GetStartTime() == nil || req.GetEndTime() == nil {
		return m, fault.Invalid.New("start_time and end_time are required")
	}
	m.From, m.Until = within.Start, within.End
	for _, field := range []struct {
		name string
		from *durationpb.Duration
		to   *time.Duration
	}{{"step", req.GetStep(), &m.Step}, {"window", req.GetWindow(), &m.Window}} {
		if *field.to, err = duration(field.from, field.name); err != nil {
			return m, err
		}
	}
	return m, nil
}
