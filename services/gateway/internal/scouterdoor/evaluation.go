package scouterdoor

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/pagetoken"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// taskResults are those of one record.
func (d *Door) taskResults(r *http.Request) (any, error) {
	uid := r.URL.Query().Get("record_uid")
	if uid == "" || len(uid) > maxUID {
		return nil, fault.Invalid.New("record_uid: want 1 to %d bytes", maxUID).WithReason("FIELD_INVALID")
	}
	ctx := asCaller(r.Context(), r)
	found, err := d.Drift.ListCheckedRecords(ctx, &driftv1.ListCheckedRecordsRequest{RecordId: uid})
	if err != nil {
		return nil, err
	}
	answer := scouter.TaskResults{Tasks: []scouter.TaskResult{}, NotRun: []scouter.TaskNotRun{}}
	for _, record := range found.GetRecords() { // of one profile, unless an application gave an id twice
		tasks, err := d.tasksOf(ctx, record.GetProfile())
		if err != nil {
			return nil, err
		}
		results := tasks.Results(record)
		answer.Tasks, answer.NotRun = append(answer.Tasks, results.Tasks...), append(answer.NotRun, results.NotRun...)
	}
	return answer, nil
}

// tasksOf are the tasks of a profile.
func (d *Door) tasksOf(ctx context.Context, uid string) (*scouter.Tasks, error) {
	found, err := d.Drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: uid, Origin: true})
	if err != nil {
		return nil, err
	}
	driftType, err := driftTypeOf(uid, found.GetOrigin())
	if err != nil {
		return nil, err
	}
	return scouter.TasksOf(driftType, found.GetOrigin().GetDocument())
}

// pageRequest asks for a page of what there is of a profile.
type pageRequest struct {
	Service struct {
		Space string `json:"space"`
		UID   string `json:"uid"`
	} `json:"service_info"`
	Status    *string    `json:"status"`
	Limit     *uint32    `json:"limit"`
	CursorAt  *time.Time `json:"cursor_created_at"`
	CursorID  *uint64    `json:"cursor_id"`
	Direction string     `json:"direction"`
	Start     *time.Time `json:"start_datetime"`
	End       *time.Time `json:"end_datetime"`
}

type recordCursor struct {
	CreatedAt time.Time `json:"created_at"`
	ID        uint64    `json:"id"`
}

// usualRecords are on a page where nobody says how many.
const usualRecords = 50

// query is what is asked of drift; nil where nothing ever is what is asked for.
func (p *pageRequest) query(contexts bool) (*driftv1.ListCheckedRecordsRequest, error) {
	if p.Service.UID == "" || len(p.Service.UID) > maxUID {
		return nil, fault.Invalid.New("service_info.uid: want 1 to %d bytes", maxUID).WithReason("FIELD_INVALID")
	}
	if p.Direction == "previous" {
		return nil, fault.Unsupported.New("direction previous is not supported: keep the pages that were read").WithReason("NOT_SERVED")
	}
	q := &driftv1.ListCheckedRecordsRequest{Profile: p.Service.UID, Contexts: contexts, PageSize: usualRecords}
	if p.Limit != nil && *p.Limit > 0 {
		q.PageSize = *p.Limit
	}
	if p.Status != nil {
		state, some, err := scouter.CheckStateOf(*p.Status)
		if err != nil || !some {
			return nil, err
		}
		q.State = state
	}
	if p.Start != nil {
		q.StartTime = timestamppb.New(*p.Start)
	}
	if p.End != nil {
		q.EndTime = timestamppb.New(*p.End)
	}
	if p.CursorAt != nil && p.CursorID != nil {
		q.PageToken = pagetoken.Of(p.CursorAt.UnixMicro(), strconv.FormatUint(*p.CursorID, 10)) // as drift gives it out
	}
	return q, nil
}

// checkedPage is a page of what a query finds; item makes one of its items.
func (d *Door) checkedPage(ctx context.Context, q *driftv1.ListCheckedRecordsRequest, item func(record *driftv1.CheckedRecord) (any, error)) (any, error) {
	found := &driftv1.ListCheckedRecordsResponse{}
	if q != nil {
		var err error
		if found, err = d.Drift.ListCheckedRecords(ctx, q); err != nil {
			return nil, err
		}
	}
	items := make([]any, 0, len(found.GetRecords()))
	for _, record := range found.GetRecords() {
		one, err := item(record)
		if err != nil {
			return nil, err
		}
		items = append(items, one)
	}
	cursor := func(record *driftv1.CheckedRecord) *recordCursor {
		return &recordCursor{record.GetEventTime().AsTime(), record.GetNumber()}
	}
	var next, previous *recordCursor
	if n := len(found.GetRecords()); n > 0 {
		if found.GetNextPageToken() != "" {
			next = cursor(found.GetRecords()[n-1])
		}
		if q.GetPageToken() != "" {
			previous = cursor(found.GetRecords()[0])
		}
	}
	return paged(items, next, previous), nil
}

// recordPage has evaluation records.
func (d *Door) recordPage(r *http.Request) (any, error) {
	req, err := asked[pageRequest](r)
	if err != nil {
		return nil, err
	}
	q, err := req.query(true)
	if err != nil {
		return nil, err
	}
	return d.checkedPage(asCaller(r.Context(), r), q, func(record *driftv1.CheckedRecord) (any, error) { return scouter.EvalRecordOf(record) })
}

// workflowPage has what the tasks of records came to, of those that were run.
func (d *Door) workflowPage(r *http.Request) (any, error) {
	req, err := asked[pageRequest](r)
	if err != nil {
		return nil, err
	}
	q, err := req.query(false)
	if err != nil {
		return nil, err
	}
	if q.GetState() == driftv1.CheckState_CHECK_STATE_PENDING {
		q = nil
	}
	ctx, tasks := asCaller(r.Context(), r), &scouter.Tasks{}
	if q != nil {
		q.State = driftv1.CheckState_CHECK_STATE_DONE
		if tasks, err = d.tasksOf(ctx, q.GetProfile()); err != nil {
			return nil, err
		}
	}
	return d.checkedPage(ctx, q, func(record *driftv1.CheckedRecord) (any, error) { return tasks.Workflow(record), nil })
}
