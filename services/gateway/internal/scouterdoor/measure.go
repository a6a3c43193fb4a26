package scouterdoor

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// mostMeasured traces are summed up for one answer.
const mostMeasured = 60_000

// traceMetrics sums up the traces of a range; those of a service are those that begin
// there.
func (d *Door) traceMetrics(r *http.Request) (any, error) {
	req, err := asked[struct {
		Service    string    `json:"service_name"`
		Start      time.Time `json:"start_time"`
		End        time.Time `json:"end_time"`
		Interval   string    `json:"bucket_interval"`
		Attributes []string  `json:"attribute_filters"`
		EntityUID  string    `json:"entity_uid"`
	}](r)
	if err != nil {
		return nil, err
	}
	width, err := scouter.BucketWidth(req.Interval)
	if err != nil {
		return nil, err
	}
	// The service is that of the root, which need not be the one of the span with the
	// rest.
	f := filters{Start: &req.Start, End: &req.End, Attributes: req.Attributes, EntityUID: req.EntityUID}
	q, err := f.query()
	if err != nil {
		return nil, err
	}
	if len(q.GetAttributes())+len(q.GetAnyAttribute()) == 0 {
		q.Service = req.Service
	}
	q.AnyAttribute = namesOf(f.wanted)
	all, err := d.summaries(asCaller(r.Context(), r), q)
	if err != nil {
		return nil, err
	}
	var measured []scouter.TraceMeasure
	for _, s := range all {
		if start := s.GetStartTime().AsTime(); (req.Service == "" || s.GetRootService() == req.Service) && !start.Before(req.Start) {
			measured = append(measured, scouter.TraceMeasure{Start: start, Duration: s.GetDuration().AsDuration(), Failed: s.GetErrors() > 0})
		}
	}
	return map[string]any{"metrics": scouter.BucketsOf(measured, width)}, nil
}

// summaries reads all pages of a search.
func (d *Door) summaries(ctx context.Context, q *tracev1.TraceQuery) (all []*tracev1.TraceSummary, err error) {
	if q.GetEndTime() == nil {
		q.EndTime = timestamppb.New(d.Now())
	}
	for token := ""; ; {
		page, err := d.Traces.SearchTraces(ctx, &tracev1.SearchTracesRequest{Query: q, PageSize: mostTraces, PageToken: token})
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetTraces()...)
		switch token = page.GetNextPageToken(); {
		case token == "":
			return all, nil
		case len(all) >= mostMeasured:
			return nil, fault.Invalid.New("there are more than %d traces in the range: ask for a shorter one", mostMeasured).WithReason("TOO_MANY_TRACES")
		}
	}
}
