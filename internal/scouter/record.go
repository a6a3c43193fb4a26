package scouter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/record"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// Features of an evaluation profile: what a workflow passed, and each task.
const (
	// WorkflowMetric is the share of tasks that were passed.
	WorkflowMetric = "workflow"
	// TaskMetric begins the name of a task's metric.
	TaskMetric = "task."
)

func malformed(format string, args ...any) *Refusal {
	return &Refusal{Reason: record.ReasonMalformed, Message: fmt.Sprintf(format, args...)}
}

// kinds are the variants of an element, by both names.
var kinds = map[string]func(raw json.RawMessage, names *names) (*ingestv1.Record, *Refusal){
	"Spc": spc, "Psi": psi, "Custom": custom,
	"GenAIEval": evaluation, "AgentEval": evaluation,
	"GenAITaskRecord": task, "AgentTaskRecord": task,
	"GenAIWorkflowRecord": workflow, "AgentWorkflowRecord": workflow,
}

// decodeElement reads one element: an object of one member, which names its kind.
func decodeElement(raw []byte, names *names) (*ingestv1.Record, *Refusal) {
	switch {
	case !utf8.Valid(raw):
		return nil, malformed("is not UTF-8")
	case !isObject(raw):
		return nil, malformed("is not an object")
	}
	if no := checkMembers(raw); no != nil {
		return nil, no
	}
	var element map[string]json.RawMessage
	if err := json.Unmarshal(raw, &element); err != nil {
		return nil, malformed("%s", Why(err))
	}
	if len(element) != 1 {
		return nil, malformed("has %d members, want one that names its kind", len(element))
	}
	for name, raw := range element {
		if read, ok := kinds[name]; ok {
			return read(raw, names)
		}
		return nil, malformed("%.40q is no kind of record that is taken", name)
	}
	return nil, nil
}

// read decodes what an element says and names what is wrong with it.
func read[T any](raw json.RawMessage) (*T, *Refusal) {
	v := new(T)
	if isObject(raw) {
		if no := checkMembers(raw); no != nil {
			return nil, no
		}
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, malformed("%s", Why(err))
	}
	return v, nil
}

// measured is what the records of features and metrics have.
type measured struct {
	CreatedAt stamp    `json:"created_at"`
	UID       string   `json:"uid"`
	Feature   string   `json:"feature"`
	Metric    string   `json:"metric"`
	Value     *float64 `json:"value"`
	BinID     *int64   `json:"bin_id"`
	BinCount  *uint64  `json:"bin_count"`
}

func (m *measured) record(kind, name string, value uint64, names *names) (*ingestv1.Record, *Refusal) {
	if no := m.CreatedAt.check(); no != nil {
		return nil, no
	}
	switch {
	case m.UID == "":
		return nil, malformed("uid is missing")
	case name == "":
		return nil, malformed("there is no name")
	}
	return &ingestv1.Record{
		Id: names.of(kind, m.UID, name, strconv.FormatInt(m.CreatedAt.UnixNano(), 10), strconv.FormatUint(value, 16)), Profile: m.UID,
		EventTime: timestamppb.New(m.CreatedAt.Time),
	}, nil
}

// errNull is said of a value that is null, which is how the clients write what is
// not finite.
func errNull() *Refusal {
	return &Refusal{Reason: record.ReasonNotFinite, Message: "value is null, which stands for what is not finite"}
}

func spc(raw json.RawMessage, names *names) (*ingestv1.Record, *Refusal) {
	m, no := read[measured](raw)
	if no != nil {
		return nil, no
	}
	if m.Value == nil {
		return nil, errNull()
	}
	r, no := m.record("Spc", m.Feature, math.Float64bits(*m.Value), names)
	if no != nil {
		return nil, no
	}
	r.Body = &ingestv1.Record_Features{Features: &ingestv1.Features{
		Values: []*ingestv1.Feature{{Name: m.Feature, Value: &ingestv1.Feature_Float{Float: *m.Value}}},
	}}
	return r, nil
}

func psi(raw json.RawMessage, names *names) (*ingestv1.Record, *Refusal) {
	m, no := read[measured](raw)
	if no != nil {
		return nil, no
	}
	if m.BinID == nil || m.BinCount == nil {
		return nil, malformed("bin_id or bin_count is missing")
	}
	r, no := m.record("Psi "+strconv.FormatInt(*m.BinID, 10), m.Feature, *m.BinCount, names)
	if no != nil {
		return nil, no
	}
	r.Body = &ingestv1.Record_Counted{Counted: &ingestv1.Counted{Feature: m.Feature, Bin: *m.BinID, Count: *m.BinCount}}
	return r, nil
}

func custom(raw json.RawMessage, names *names) (*ingestv1.Record, *Refusal) {
	m, no := read[measured](raw)
	if no != nil {
		return nil, no
	}
	if m.Value == nil {
		return nil, errNull()
	}
	r, no := m.record("Custom", m.Metric, math.Float64bits(*m.Value), names)
	if no != nil {
		return nil, no
	}
	r.Body = metric(m.Metric, *m.Value)
	return r, nil
}

func metric(name string, value float64) *ingestv1.Record_Metrics {
	return &ingestv1.Record_Metrics{Metrics: &ingestv1.Metrics{Values: []*ingestv1.Metric{{Name: name, Value: value}}}}
}

// evaluated is an evaluation record. What a server fills in is left out.
type evaluated struct {
	RecordID   string          `json:"record_id"`
	SessionID  string          `json:"session_id"`
	UID        string          `json:"uid"`
	TraceID    *string         `json:"trace_id"`
	Tags       []string        `json:"tags"`
	EntityType string          `json:"entity_type"`
	Context    json.RawMessage `json:"context"`
}

// evaluation keeps the record as a context: what was asked and answered is its
// member context, beside it the ids.
func evaluation(raw json.RawMessage, names *names) (*ingestv1.Record, *Refusal) {
	outer, no := read[struct {
		Record json.RawMessage `json:"record"`
	}](raw)
	if no != nil {
		return nil, no
	}
	if !present(outer.Record) {
		return nil, malformed("record is missing")
	}
	e, no := read[struct {
		evaluated
		CreatedAt stamp  `json:"created_at"`
		EntityUID string `json:"entity_uid"`
	}](outer.Record)
	if no == nil {
		no = e.CreatedAt.check()
	}
	switch {
	case no != nil:
		return nil, no
	case e.EntityUID == "":
		return nil, malformed("entity_uid is missing")
	}
	id := e.UID
	if id == "" {
		id = names.of("Eval", e.EntityUID, e.RecordID, strconv.FormatInt(e.CreatedAt.UnixNano(), 10), string(e.Context))
	}
	if !present(e.Context) {
		e.Context = json.RawMessage("null")
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // what came is to be found as it came
	if err := encoder.Encode(e.evaluated); err != nil {
		return nil, malformed("%v", err)
	}
	return &ingestv1.Record{
		Id: id, Profile: e.EntityUID, EventTime: timestamppb.New(e.CreatedAt.Time),
		Body: &ingestv1.Record_Context{Context: &ingestv1.Context{Json: string(bytes.TrimRight(out.Bytes(), "\n"))}},
	}, nil
}

// result is what tasks and workflows come to.
type result struct {
	CreatedAt stamp    `json:"created_at"`
	EntityUID string   `json:"entity_uid"`
	RecordUID string   `json:"record_uid"`
	TaskID    string   `json:"task_id"`
	Value     *float64 `json:"value"`
	PassRate  *float64 `json:"pass_rate"`
}

func (r *result) record(name string, value *float64, names *names) (*ingestv1.Record, *Refusal) {
	if no := r.CreatedAt.check(); no != nil {
		return nil, no
	}
	switch {
	case r.EntityUID == "" || r.RecordUID == "":
		return nil, malformed("entity_uid or record_uid is missing")
	case value == nil:
		return nil, errNull()
	}
	return &ingestv1.Record{
		Id: names.of("result", r.EntityUID, r.RecordUID, name, strconv.FormatInt(r.CreatedAt.UnixNano(), 10)), Profile: r.EntityUID,
		EventTime: timestamppb.New(r.CreatedAt.Time), Body: metric(name, *value),
	}, nil
}

func task(raw json.RawMessage, names *names) (*ingestv1.Record, *Refusal) {
	r, no := read[result](raw)
	switch {
	case no != nil:
		return nil, no
	case r.TaskID == "":
		return nil, malformed("task_id is missing")
	}
	return r.record(TaskMetric+r.TaskID, r.Value, names)
}

func workflow(raw json.RawMessage, names *names) (*ingestv1.Record, *Refusal) {
	r, no := read[result](raw)
	if no != nil {
		return nil, no
	}
	return r.record(WorkflowMetric, r.PassRate, names)
}
