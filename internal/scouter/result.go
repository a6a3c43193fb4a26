package scouter

import (
	"encoding/json"
	"slices"
	"time"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Answers about what the tasks of a profile came to.
type (
	// TaskResult is what a task that was run came to.
	TaskResult struct {
		CreatedAt time.Time       `json:"created_at"`
		StartTime time.Time       `json:"start_time"`
		EndTime   time.Time       `json:"end_time"`
		RecordUID string          `json:"record_uid"`
		EntityID  int             `json:"entity_id"`
		TaskID    string          `json:"task_id"`
		TaskType  string          `json:"task_type"`
		Passed    bool            `json:"passed"`
		Value     float64         `json:"value"`
		Assertion map[string]any  `json:"assertion"`
		Operator  string          `json:"operator"`
		Expected  json.RawMessage `json:"expected"`
		Actual    json.RawMessage `json:"actual"`
		Message   string          `json:"message"`
		EntityUID string          `json:"entity_uid"`
		Condition bool            `json:"condition"`
		Stage     uint32          `json:"stage"`
	}
	// TaskNotRun is a task that was not, and why. Scouter has no word for it.
	TaskNotRun struct {
		RecordUID string `json:"record_uid"`
		TaskID    string `json:"task_id"`
		TaskType  string `json:"task_type"`
		Reason    string `json:"reason"`
	}
	// TaskResults are those of a record.
	TaskResults struct {
		Tasks  []TaskResult `json:"tasks"`
		NotRun []TaskNotRun `json:"not_run"`
	}
	// WorkflowResult is what all tasks of a record came to.
	WorkflowResult struct {
		CreatedAt   time.Time `json:"created_at"`
		RecordUID   string    `json:"record_uid"`
		EntityID    int       `json:"entity_id"`
		TotalTasks  uint32    `json:"total_tasks"`
		PassedTasks uint32    `json:"passed_tasks"`
		FailedTasks uint32    `json:"failed_tasks"`
		PassRate    float64   `json:"pass_rate"`
		DurationMS  int64     `json:"duration_ms"`
		EntityUID   string    `json:"entity_uid"`
		Plan        Plan      `json:"execution_plan"`
		ID          uint64    `json:"id"`
	}
	// Plan is the order of tasks.
	Plan struct {
		Stages [][]string          `json:"stages"`
		Nodes  map[string]PlanNode `json:"nodes"`
	}
	// PlanNode is a task's place in it.
	PlanNode struct {
		ID       string   `json:"id"`
		Stage    uint32   `json:"stage"`
		Parents  []string `json:"parents"`
		Children []string `json:"children"`
	}
	// EvalRecord is an evaluation record as it was sent, and how far it is.
	EvalRecord struct {
		evaluated
		CreatedAt  time.Time  `json:"created_at"`
		ID         uint64     `json:"id"`
		UpdatedAt  *time.Time `json:"updated_at"`
		StartedAt  *time.Time `json:"processing_started_at"`
		EndedAt    *time.Time `json:"processing_ended_at"`
		Duration   *int64     `json:"processing_duration"`
		EntityID   int        `json:"entity_id"`
		EntityUID  string     `json:"entity_uid"`
		Status     string     `json:"status"`
		RetryCount int        `json:"retry_count"`
	}
)

// Tasks are the tasks of an evaluation profile, by which results are told.
type Tasks struct {
	byID  map[string]taskDraft
	order []string
}

// TasksOf reads them from the document of a profile.
func TasksOf(driftType string, document []byte) (*Tasks, error) {
	_, d, err := readDraft(driftType, document)
	if err != nil {
		return nil, err
	}
	t := &Tasks{byID: map[string]taskDraft{}}
	checks, err := d.Tasks.checks()
	if err != nil || checks == nil {
		return t, err
	}
	var drafts []taskDraft // in the order of the checks
	d.Tasks.byKind(func(_ profile.CheckOf, all []taskDraft) { drafts = append(drafts, all...) })
	for i, c := range checks.All {
		drafts[i].DependsOn, drafts[i].of = c.DependsOn, c.Of
		t.byID[c.Name], t.order = drafts[i], append(t.order, c.Name)
	}
	return t, nil
}

// taskTypes are Scouter's words for what tasks look at.
var taskTypes = map[profile.CheckOf]string{
	profile.OfContext: "Assertion", profile.OfJudge: "LLMJudge", profile.OfTrace: "TraceAssertion", profile.OfResponse: "AgentAssertion",
}

// Results are what the tasks of a record came to.
func (t *Tasks) Results(r *driftv1.CheckedRecord) TaskResults {
	out := TaskResults{Tasks: []TaskResult{}, NotRun: []TaskNotRun{}}
	for _, one := range r.GetResults() {
		draft := t.byID[one.GetName()]
		passed := one.GetOutcome() == driftv1.CheckOutcome_CHECK_OUTCOME_PASSED
		if !passed && one.GetOutcome() != driftv1.CheckOutcome_CHECK_OUTCOME_FAILED {
			out.NotRun = append(out.NotRun, TaskNotRun{r.GetRecordId(), one.GetName(), taskTypes[draft.of], one.GetMessage()})
			continue
		}
		began := r.GetCheckTime().AsTime()
		result := TaskResult{
			CreatedAt: began.Add(r.GetDuration().AsDuration()), StartTime: began, EndTime: began.Add(r.GetDuration().AsDuration()),
			RecordUID: r.GetRecordId(), TaskID: one.GetName(), TaskType: taskTypes[draft.of], Passed: passed, Assertion: draft.asserted(),
			Operator: draft.Operator, Expected: orNull(string(draft.Expected)), Actual: orNull(one.GetActualJson()), Message: one.GetMessage(),
			EntityUID: r.GetProfile(), Condition: draft.Condition, Stage: one.GetStage(),
		}
		if passed {
			result.Value = 1
		}
		out.Tasks = append(out.Tasks, result)
	}
	return out
}

// asserted is what a task looks at, in Scouter's words.
func (t *taskDraft) asserted() map[string]any {
	switch t.of {
	case profile.OfTrace:
		return map[string]any{"TraceAssertion": t.Assertion}
	case profile.OfResponse:
		return map[string]any{"AgentAssertion": t.Assertion}
	case profile.OfContext, profile.OfJudge:
	}
	return map[string]any{"FieldPath": t.Path}
}

func orNull(text string) json.RawMessage {
	if text == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(text)
}

// Workflow is what all tasks of a record came to.
func (t *Tasks) Workflow(r *driftv1.CheckedRecord) WorkflowResult {
	out := WorkflowResult{
		CreatedAt: r.GetCheckTime().AsTime(), RecordUID: r.GetRecordId(), TotalTasks: r.GetPassed() + r.GetFailed(), PassedTasks: r.GetPassed(),
		FailedTasks: r.GetFailed(), DurationMS: r.GetDuration().AsDuration().Milliseconds(), EntityUID: r.GetProfile(), ID: r.GetNumber(),
		Plan: Plan{Stages: [][]string{}, Nodes: map[string]PlanNode{}},
	}
	if out.TotalTasks > 0 {
		out.PassRate = float64(out.PassedTasks) / float64(out.TotalTasks)
	}
	for _, one := range r.GetResults() {
		for int(one.GetStage()) >= len(out.Plan.Stages) {
			out.Plan.Stages = append(out.Plan.Stages, []string{})
		}
		out.Plan.Stages[one.GetStage()] = append(out.Plan.Stages[one.GetStage()], one.GetName())
		node := PlanNode{ID: one.GetName(), Stage: one.GetStage(), Parents: []string{}, Children: []string{}}
		node.Parents = append(node.Parents, t.byID[one.GetName()].DependsOn...)
		for _, other := range t.order {
			if slices.Contains(t.byID[other].DependsOn, one.GetName()) {
				node.Children = append(node.Children, other)
			}
		}
		out.Plan.Nodes[one.GetName()] = node
	}
	return out
}

// EvalRecordOf is an evaluation record that is kept.
func EvalRecordOf(r *driftv1.CheckedRecord) (EvalRecord, error) {
	out := EvalRecord{CreatedAt: r.GetEventTime().AsTime(), ID: r.GetNumber(), EntityUID: r.GetProfile(), Status: "Pending"}
	if err := json.Unmarshal([]byte(r.GetContextJson()), &out.evaluated); err != nil {
		return out, errProfile("record %.200q is none of Scouter's: %v", r.GetRecordId(), err)
	}
	out.UID = r.GetRecordId()
	if r.GetTraceId() != "" {
		trace := r.GetTraceId()
		out.TraceID = &trace
	}
	if r.GetState() == driftv1.CheckState_CHECK_STATE_DONE {
		began, ended, took := r.GetCheckTime().AsTime(), r.GetCheckTime().AsTime().Add(r.GetDuration().AsDuration()), r.GetDuration().AsDuration().Milliseconds()
		out.Status, out.UpdatedAt, out.StartedAt, out.EndedAt, out.Duration = "Processed", &ended, &began, &ended, &took
	}
	return out, nil
}

// CheckStateOf reads the status that records are asked for by; none where nothing ever
// has it.
func CheckStateOf(status string) (state driftv1.CheckState, some bool, err error) {
	switch status {
	case "", "All":
		return driftv1.CheckState_CHECK_STATE_UNSPECIFIED, true, nil
	case "Pending":
		return driftv1.CheckState_CHECK_STATE_PENDING, true, nil
	case "Processed":
		return driftv1.CheckState_CHECK_STATE_DONE, true, nil
	case "Processing", "Failed":
		return driftv1.CheckState_CHECK_STATE_UNSPECIFIED, false, nil
	}
	return driftv1.CheckState_CHECK_STATE_UNSPECIFIED, false, errRequest("status %.40q is none of All, Pending, Processing, Processed and Failed", status)
}
