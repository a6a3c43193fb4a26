package scouter_test

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/evaluate"
	"github.com/driftmesh/driftmesh/internal/scouter"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// golden is what the client made of checks (testdata/checks.py).
type golden struct {
	Operators struct {
		Values []json.RawMessage `json:"values"`
		Rows   []struct {
			Operator string          `json:"operator"`
			Expected json.RawMessage `json:"expected"`
			Signs    string          `json:"signs"`
		} `json:"rows"`
	} `json:"operators"`
	Plans []struct {
		Tasks   json.RawMessage `json:"tasks"`
		Context json.RawMessage `json:"context"`
		Found   *struct {
			Results        map[string]goldenResult `json:"results"`
			Passed, Failed int
		} `json:"found"`
	} `json:"plans"`
	Traces struct {
		Traces map[string][]goldenSpan `json:"traces"`
		Cases  []goldenCase            `json:"cases"`
	} `json:"traces"`
	Answers struct {
		Contexts map[string]json.RawMessage `json:"contexts"`
		Cases    []goldenCase               `json:"cases"`
	} `json:"answers"`
}

type goldenCase struct {
	Tasks json.RawMessage          `json:"tasks"`
	Found map[string]*goldenResult `json:"found"`
}

type goldenResult struct {
	Passed bool            `json:"passed"`
	Actual json.RawMessage `json:"actual"`
	Stage  int             `json:"stage"`
}

type goldenSpan struct {
	Name       string `json:"span_name"`
	Service    string `json:"service_name"`
	Status     int    `json:"status_code"`
	Depth      int    `json:"depth"`
	Order      int    `json:"span_order"`
	Start      int64  `json:"start_time"` // microseconds
	End        int64  `json:"end_time"`
	Attributes []struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	} `json:"attributes"`
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	f, err := os.Open("testdata/checks.json.gz")
	require.NoError(t, err)
	defer f.Close()
	raw, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(raw).Decode(&g))
	return g
}

// planOf are the tasks of a profile, by the way that a registered one takes.
func planOf(t *testing.T, tasks json.RawMessage) *evaluate.Plan {
	t.Helper()
	document, err := json.Marshal(map[string]any{"config": map[string]any{"space": "s", "name": "n"}, "tasks": tasks})
	require.NoError(t, err)
	p, err := scouter.Profile("GenAI", document)
	require.NoError(t, err, string(tasks))
	plan, err := evaluate.New(p.Checks.All)
	require.NoError(t, err, string(tasks))
	return plan
}

func decoded(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	if raw == nil { // null
		return nil
	}
	v, err := evaluate.Decode(raw)
	require.NoError(t, err)
	return v
}

// agrees holds a result against the client's; where that gave up, the check is failed.
func agrees(t *testing.T, want *goldenResult, got *evaluate.Result, what ...any) {
	t.Helper()
	if want == nil {
		require.Equal(t, evaluate.Failed, got.Outcome, what...)
		require.NotEmpty(t, got.Message, what...)
		return
	}
	require.Equal(t, map[bool]evaluate.Outcome{true: evaluate.Passed, false: evaluate.Failed}[want.Passed], got.Outcome, append(what, got.Message)...)
	require.Equal(t, want.Stage, got.Stage, what...)
	actual, err := json.Marshal(got.Actual)
	require.NoError(t, err)
	if want.Actual == nil {
		want.Actual = json.RawMessage("null")
	}
	require.JSONEq(t, string(want.Actual), string(actual), what...)
}

// Every operator with every value against everything expected comes to what the
// client makes of it.
func TestOperatorsAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	g, operators := readGolden(t).Operators, map[string]bool{}
	for _, row := range g.Rows {
		operators[row.Operator] = true
		expected := row.Expected
		if expected == nil {
			expected = json.RawMessage("null")
		}
		tasks, err := json.Marshal(map[string]any{"assertion": []any{map[string]any{
			"id": "t", "context_path": "v", "operator": row.Operator, "expected_value": expected, "task_type": "Assertion",
		}}})
		require.NoError(t, err)
		plan := planOf(t, tasks)
		for i, value := range g.Values {
			got := plan.Run(evaluate.Record{Context: map[string]any{"v": decoded(t, value), "w": json.Number("7")}})[0]
			sign := byte('-')
			if got.Outcome == evaluate.Passed {
				sign = '+'
			}
			want := row.Signs[i]
			if want == '!' {
				want = '-'
			}
			require.Equal(t, string(want), string(sign), "%s %s %s: %s", value, row.Operator, expected, got.Message)
		}
	}
	require.Len(t, operators, 46) // all that the client has
}

// Paths, lists, templates, dependencies and gates come to what the client makes of
// them.
func TestPlansAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	for _, c := range readGolden(t).Plans {
		var sum evaluate.Sum
		results := planOf(t, c.Tasks).Run(evaluate.Record{Context: decoded(t, c.Context)})
		for i := range results {
			got := &results[i]
			sum.Add(got)
			if c.Found == nil {
				agrees(t, nil, got, string(c.Tasks))
				continue
			}
			if want, run := c.Found.Results[got.Name]; run {
				agrees(t, &want, got, string(c.Tasks), got.Name)
			} else {
				require.Equal(t, evaluate.Skipped, got.Outcome, string(c.Tasks))
			}
		}
		if c.Found != nil {
			require.Equal(t, evaluate.Sum{Passed: c.Found.Passed, Failed: c.Found.Failed}, sum, string(c.Tasks))
		}
	}
}

func traceOf(t *testing.T, spans []goldenSpan) *evaluate.Trace {
	t.Helper()
	slices.SortFunc(spans, func(a, b goldenSpan) int { return a.Order - b.Order })
	out := &evaluate.Trace{Whole: true}
	for _, s := range spans {
		span := evaluate.Span{
			Name: s.Name, Service: s.Service, Status: []evaluate.Status{evaluate.Unset, evaluate.OK, evaluate.Error}[s.Status],
			Start: time.UnixMicro(s.Start), End: time.UnixMicro(s.End), Depth: s.Depth,
		}
		for _, a := range s.Attributes {
			span.Attributes = append(span.Attributes, evaluate.Attribute{Key: a.Key, Value: decoded(t, a.Value)})
		}
		out.Spans = append(out.Spans, span)
	}
	return out
}

// What is asked of traces comes to what the client makes of it.
func TestTraceAssertionsAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	g := readGolden(t).Traces
	require.Len(t, g.Traces, 6)
	for _, c := range g.Cases {
		plan := planOf(t, c.Tasks)
		require.True(t, plan.Traces())
		for name, want := range c.Found {
			results := plan.Run(evaluate.Record{Trace: traceOf(t, g.Traces[name])})
			agrees(t, want, &results[0], name, string(c.Tasks))
		}
	}
}

// What is asked of answers of language models comes to what the client makes of it.
func TestAgentAssertionsAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	g := readGolden(t).Answers
	for _, c := range g.Cases {
		plan := planOf(t, c.Tasks)
		for name, want := range c.Found {
			results := plan.Run(evaluate.Record{Context: decoded(t, g.Contexts[name])})
			agrees(t, want, &results[0], name, string(c.Tasks))
		}
	}
}

// A profile of judges is registered, and what comes of it says why there is nothing.
func TestJudgesAreNotRun(t *testing.T) {
	t.Parallel()
	_, document := document(t, "profile-genai-judge.json")
	p, err := scouter.Profile("GenAI", document)
	require.NoError(t, err)
	plan, err := evaluate.New(p.Checks.All)
	require.NoError(t, err)
	for _, r := range plan.Run(evaluate.Record{Context: map[string]any{}}) {
		i := slices.IndexFunc(p.Checks.All, func(c profile.Check) bool { return c.Name == r.Name })
		if p.Checks.All[i].Of == profile.OfJudge {
			require.Contains(t, []evaluate.Outcome{evaluate.NotRun, evaluate.Skipped}, r.Outcome, "it depends on others")
			require.NotEmpty(t, r.Message)
		}
	}
	require.True(t, slices.ContainsFunc(p.Checks.All, func(c profile.Check) bool { return c.Of == profile.OfJudge }))
}
