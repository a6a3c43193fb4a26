package drift

import (
	"context"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/evaluate"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/pagetoken"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// maxCheckedRecords bounds a page: of each record there are all results.
const maxCheckedRecords = 200

// checkOutcomes are the words for what became of checks.
var checkOutcomes = map[evaluate.Outcome]driftv1.CheckOutcome{
	evaluate.Passed: driftv1.CheckOutcome_CHECK_OUTCOME_PASSED, evaluate.Failed: driftv1.CheckOutcome_CHECK_OUTCOME_FAILED,
	evaluate.Skipped: driftv1.CheckOutcome_CHECK_OUTCOME_SKIPPED, evaluate.NotRun: driftv1.CheckOutcome_CHECK_OUTCOME_NOT_RUN,
}

// ListCheckedRecords gives records with a context, and what their checks came to.
func (s *server) ListCheckedRecords(ctx context.Context, req *driftv1.ListCheckedRecordsRequest) (*driftv1.ListCheckedRecordsResponse, error) {
	q, err := s.checkedPage(ctx, req)
	if err != nil {
		return nil, err
	}
	found, full, err := s.cells.ListChecked(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &driftv1.ListCheckedRecordsResponse{}
	for i := range found {
		resp.Records = append(resp.Records, checkedMessage(&found[i]))
	}
	if full {
		last := &found[len(found)-1]
		resp.NextPageToken = pagetoken.Of(last.Event.UnixMicro(), strconv.FormatUint(last.Number, 10))
	}
	return resp, nil
}

func (s *server) checkedPage(ctx context.Context, req *driftv1.ListCheckedRecordsRequest) (q store.CheckedPage, err error) {
	id, ok := identity.From(ctx)
	if !ok {
		return q, errNobody()
	}
	q = store.CheckedPage{
		Tenant: id.Tenant, Record: req.GetRecordId(), Contexts: req.GetContexts(), Limit: pageSize(req.GetPageSize(), maxCheckedRecords),
		Start: time.Unix(0, 0), End: time.Unix(0, math.MaxInt64),
	}
	switch {
	case req.GetProfile() != "":
		p, err := s.find(ctx, req.GetProfile())
		if err != nil {
			return q, err
		}
		q.Profiles = []string{p.UID}
	case q.Record == "":
		return q, fault.Invalid.New("profile, or record_id, is required").WithReason("FIELD_INVALID")
	default:
		if q.Profiles, err = s.state.CheckedProfiles(ctx, id.Tenant, id.Spaces); err != nil {
			return q, err
		}
	}
	if state := req.GetState(); state != driftv1.CheckState_CHECK_STATE_UNSPECIFIED {
		done := state == driftv1.CheckState_CHECK_STATE_DONE
		q.Done = &done
	}
	for _, bound := range []struct {
		from *timestamppb.Timestamp
		to   *time.Time
	}{{req.GetStartTime(), &q.Start}, {req.GetEndTime(), &q.End}} {
		if bound.from == nil {
			continue
		}
		if *bound.to = bound.from.AsTime(); !bound.from.IsValid() || bound.to.Unix() < 0 || bound.to.Unix() > math.MaxUint32 {
			return q, fault.Invalid.New("start_time or end_time is no time between 1970 and 2106").WithReason("INVALID_TIME")
		}
	}
	q.After, err = checkedPlace(req.GetPageToken())
	return q, err
}

func checkedPlace(token string) (*store.CheckedPlace, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // before the first there is none
	}
	micros, number, err := pagetoken.Parse(token, 1)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(number[0], 10, 64)
	if err != nil {
		return nil, pagetoken.Unknown()
	}
	return &store.CheckedPlace{At: micros, Number: n}, nil
}

func checkedMessage(r *store.CheckedRecord) *driftv1.CheckedRecord {
	m := &driftv1.CheckedRecord{
		Profile: r.Profile, RecordId: r.Record, EventTime: timestamppb.New(r.Event), ReceivedTime: timestamppb.New(r.Received), TraceId: r.Trace,
		ContextJson: r.JSON, State: driftv1.CheckState_CHECK_STATE_PENDING, Number: r.Number,
	}
	if !r.Done {
		return m
	}
	m.State, m.CheckTime, m.Duration = driftv1.CheckState_CHECK_STATE_DONE, timestamppb.New(r.At), durationpb.New(r.Took)
	m.Passed, m.Failed = uint32(r.Passed), uint32(r.Failed)
	for _, one := range r.Results {
		m.Results = append(m.Results, &driftv1.CheckResult{
			Name: one.Name, Outcome: checkOutcomes[one.Outcome], ActualJson: string(one.Actual), Message: one.Message, Stage: uint32(one.Stage), //nolint:gosec // positive
		})
	}
	return m
}
