package scouter

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/driftmesh/driftmesh/internal/evaluate"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// taskDraft is a task of an evaluation profile, of any type.
type taskDraft struct {
	ID        string          `json:"id"`
	Path      *string         `json:"context_path"`
	ItemPath  *string         `json:"item_context_path"`
	Operator  string          `json:"operator"`
	Expected  json.RawMessage `json:"expected_value"`
	DependsOn []string        `json:"depends_on"`
	Condition bool            `json:"condition"`
	Assertion json.RawMessage `json:"assertion"` // of a trace, or of an answer
	Provider  *string         `json:"provider"`
	Type      string          `json:"task_type"`
	of        profile.CheckOf // where results are told by it
}

// taskDrafts are those of a profile.
type taskDrafts struct {
	Assertion []taskDraft `json:"assertion"`
	Judge     []taskDraft `json:"judge"`
	Trace     []taskDraft `json:"trace"`
	Agent     []taskDraft `json:"agent"`
}

// The members of what a record is kept as.
const (
	contextMember = "context"
	traceMember   = "trace_id"
)

// byKind calls each with the tasks of each kind, in our words.
func (d *taskDrafts) byKind(each func(of profile.CheckOf, all []taskDraft)) {
	each(profile.OfContext, d.Assertion)
	each(profile.OfJudge, d.Judge)
	each(profile.OfTrace, d.Trace)
	each(profile.OfResponse, d.Agent)
}

// checks are what the tasks of a profile come to; nil when there are none.
func (d *taskDrafts) checks() (*profile.Checks, error) {
	c := &profile.Checks{Member: contextMember, Rate: WorkflowMetric, TraceMember: traceMember, TraceAttribute: QueueAttribute}
	var wrong error
	d.byKind(func(of profile.CheckOf, all []taskDraft) {
		for i := range all {
			one, err := all[i].check(of)
			wrong = errors.Join(wrong, err)
			c.All = append(c.All, one)
		}
	})
	if wrong != nil || len(c.All) == 0 {
		return nil, wrong // without tasks whoever evaluates sends the results
	}
	// The client writes the id of a task in lower case, and leaves what depends on it
	// as it was.
	for i := range c.All {
		for k, name := range c.All[i].DependsOn {
			if !slices.ContainsFunc(c.All, func(other profile.Check) bool { return other.Name == name }) {
				c.All[i].DependsOn[k] = strings.ToLower(name)
			}
		}
	}
	return c, nil
}

func (t *taskDraft) check(of profile.CheckOf) (c profile.Check, err error) {
	c = profile.Check{Name: t.ID, Feature: TaskMetric + t.ID, Of: of, Operator: snake(t.Operator), DependsOn: slices.Clone(t.DependsOn), Gate: t.Condition}
	if of != profile.OfJudge { // whose prompt is none of ours
		c.Expected = t.Expected
	}
	switch of {
	case profile.OfContext:
		c.Path, c.ItemPath = path(t.Path), path(t.ItemPath)
	case profile.OfTrace:
		c.Value, err = ourTag(t.Assertion)
	case profile.OfResponse:
		c.Path = path(t.Path)
		if p := deref(t.Provider); p != "Undefined" {
			c.Provider = strings.ToLower(p)
		}
		c.Value, err = ourTag(t.Assertion)
	case profile.OfJudge:
	}
	if err != nil {
		return c, errProfile("task %.80q: its assertion is not understood: %s", t.ID, Why(err))
	}
	return c, nil
}

// path is one of ours; an empty one leads nowhere with them.
func path(theirs *string) string {
	if theirs != nil && *theirs == "" {
		return "."
	}
	return deref(theirs)
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// snake writes a name of theirs as one of ours: HasLengthEqual is has_length_equal.
func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// ourTag writes an assertion or a filter, an object of one member which names its
// kind, with our names for kinds. What else it says, such as arguments, stays.
func ourTag(raw json.RawMessage) (json.RawMessage, error) {
	var tagged map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &tagged); err != nil || len(tagged) != 1 {
		return nil, errors.New("want an object of one member that names its kind")
	}
	for kind, body := range tagged {
		for member, value := range body {
			ours, err := ourMember(member, value)
			if err != nil {
				return nil, err
			}
			body[member] = ours
		}
		return json.Marshal(map[string]any{snake(kind): body})
	}
	return nil, nil
}

func ourMember(member string, value json.RawMessage) (json.RawMessage, error) {
	switch member {
	case "filter":
		return ourTag(value)
	case "filters":
		var all []json.RawMessage
		if err := json.Unmarshal(value, &all); err != nil {
			return nil, err
		}
		for i := range all {
			ours, err := ourTag(all[i])
			if err != nil {
				return nil, err
			}
			all[i] = ours
		}
		return json.Marshal(all)
	case "aggregation", "mode", "status":
		var word string
		if err := json.Unmarshal(value, &word); err != nil {
			return nil, err
		}
		return json.Marshal(snake(word))
	case "task":
		return ourInner(value)
	}
	return value, nil
}

// ourInner is a task within an assertion, on the value of an attribute.
func ourInner(raw json.RawMessage) (json.RawMessage, error) {
	var tagged map[string]taskDraft
	if err := json.Unmarshal(raw, &tagged); err != nil || len(tagged) != 1 {
		return nil, errors.New("want a task in an object of one member that names its kind")
	}
	for kind, t := range tagged {
		of := profile.OfContext
		if kind == "AgentAssertion" {
			of = profile.OfResponse
		}
		c, err := t.check(of)
		if err != nil {
			return nil, err
		}
		return json.Marshal(evaluate.Inner{
			Of: c.Of, Value: c.Value, Path: c.Path, ItemPath: c.ItemPath, Provider: c.Provider, Operator: c.Operator, Expected: c.Expected,
		})
	}
	return nil, nil
}
