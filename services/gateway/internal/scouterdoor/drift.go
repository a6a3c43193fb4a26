package scouterdoor

import (
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// driftRoutes are the routes about drift, by what they make of what was counted.
var driftRoutes = map[string]func(p *driftv1.Profile, steps []*driftv1.StepSummary) any{
	"spc":            func(_ *driftv1.Profile, steps []*driftv1.StepSummary) any { return scouter.SPCOf(steps) },
	"psi":            func(p *driftv1.Profile, steps []*driftv1.StepSummary) any { return scouter.PSIOf(p, steps) },
	"custom":         metrics(scouter.AnyMetric),
	"genai/task":     metrics(scouter.OfTask),
	"agent/task":     metrics(scouter.OfTask),
	"genai/workflow": metrics(scouter.OfWorkflow),
	"agent/workflow": metrics(scouter.OfWorkflow),
}

func metrics(name func(string) (string, bool)) func(*driftv1.Profile, []*driftv1.StepSummary) any {
	return func(_ *driftv1.Profile, steps []*driftv1.StepSummary) any { return scouter.MetricsOf(steps, name) }
}

// maxUID is as long as Scouter lets a uid be.
const maxUID = 200

func (d *Door) drift(answer func(*driftv1.Profile, []*driftv1.StepSummary) any) Route {
	return func(r *http.Request) (any, error) {
		req, uid, err := driftRequest(r)
		if err != nil {
			return nil, err
		}
		start, end, step, err := req.Window(d.Now())
		if err != nil {
			return nil, err
		}
		ctx := asCaller(r.Context(), r)
		found, err := d.Drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: uid})
		if err != nil {
			return nil, err
		}
		counted, err := d.Drift.Summarize(ctx, &driftv1.SummarizeRequest{
			Profile: uid, StartTime: timestamppb.New(start), EndTime: timestamppb.New(end), Step: durationpb.New(step),
		})
		if err != nil {
			return nil, err
		}
		return answer(found.GetProfile(), counted.GetSteps()), nil
	}
}

func driftRequest(r *http.Request) (req scouter.DriftRequest, uid string, err error) {
	q := r.URL.Query()
	if uid = q.Get("uid"); uid == "" || len(uid) > maxUID {
		return req, "", fault.Invalid.New("uid: want 1 to %d bytes", maxUID).WithReason("FIELD_INVALID")
	}
	req.Interval = q.Get("time_interval")
	if req.Points, err = strconv.Atoi(q.Get("max_data_points")); err != nil {
		return req, "", fault.Invalid.New("max_data_points: want a number").WithReason("FIELD_INVALID")
	}
	for name, to := range map[string]*time.Time{"start_custom_datetime": &req.Start, "end_custom_datetime": &req.End} {
		if text := q.Get(name); text != "" {
			if *to, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return req, "", fault.Invalid.New("%s: want a time as in RFC 3339", name).WithReason("FIELD_INVALID")
			}
		}
	}
	return req, uid, nil
}
