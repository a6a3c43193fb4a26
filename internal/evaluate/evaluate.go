package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Outcome is what became of a check.
type Outcome string

// The outcomes. Only Passed and Failed have a value.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped" // a gate before it was not passed
	NotRun  Outcome = "not_run" // there was nothing to run it on, or with
)

// Result is what one check came to.
type Result struct {
	Name    string
	Outcome Outcome
	// Actual is what was compared, nil where nothing was; Message says why it was not
	// passed.
	Actual  any
	Message string
	// Stage is its place in the order of what depends on what.
	Stage int
	// Gate: it does not count.
	Gate bool
}

// Sum counts results, without gates.
type Sum struct{ Passed, Failed int }

// Rate is the share that was passed; there is none of nothing.
func (s Sum) Rate() (rate float64, ok bool) {
	if s.Passed+s.Failed == 0 {
		return 0, false
	}
	return float64(s.Passed) / float64(s.Passed+s.Failed), true
}

// Add counts a result.
func (s *Sum) Add(r *Result) {
	switch {
	case r.Gate:
	case r.Outcome == Passed:
		s.Passed++
	case r.Outcome == Failed:
		s.Failed++
	}
}

// Record is what checks are run on.
type Record struct {
	// Context is a JSON document, as Decode reads one.
	Context any
	// Trace is the one that the record belongs to; nil when there is none.
	Trace *Trace
}

// Plan is checks, ready to be run. It is immutable and safe for concurrent use.
type Plan struct {
	checks []check
	order  [][]int // of checks, by stage
	traces bool
}

// check is a check with what is read from its JSON.
type check struct {
	profile.Check
	expected any
	value    value // nil but of traces and responses
	stage    int
	before   []int // the checks that it depends on
}

// errChecks says that checks can never be run.
func errChecks(format string, args ...any) error {
	return fault.Invalid.New(format, args...).WithReason("INVALID_CHECKS")
}

// New reads checks. The error is fault.Invalid and names the check.
func New(all []profile.Check) (*Plan, error) {
	p := &Plan{}
	at := make(map[string]int, len(all))
	for i, c := range all {
		if _, twice := at[c.Name]; twice {
			return nil, errChecks("there are two checks %q", c.Name)
		}
		at[c.Name] = i
	}
	for _, c := range all {
		one, err := newCheck(c, at)
		if err != nil {
			return nil, err
		}
		p.checks = append(p.checks, one)
		p.traces = p.traces || c.Of == profile.OfTrace
	}
	return p, p.plan()
}

func newCheck(c profile.Check, at map[string]int) (one check, err error) {
	one.Check = c
	for _, name := range c.DependsOn {
		i, ok := at[name]
		if !ok {
			return one, errChecks("check %q depends on %q, which there is not", c.Name, name)
		}
		one.before = append(one.before, i)
	}
	if c.Of == profile.OfJudge {
		return one, nil // it is not run
	}
	if err := one.read(); err != nil {
		return one, errChecks("check %q: %v", c.Name, err)
	}
	return one, nil
}

// read reads the JSON of a check, and refuses what can never be run.
func (c *check) read() (err error) {
	if _, known := operators[c.Operator]; !known {
		return fmt.Errorf("there is no operator %.60q", c.Operator)
	}
	if len(c.Expected) > 0 {
		if c.expected, err = Decode(c.Expected); err != nil {
			return errors.New("what it expects is no JSON")
		}
	}
	switch c.Of {
	case profile.OfTrace:
		c.value, err = traceValueOf(c.Value)
	case profile.OfResponse:
		c.value, err = responseValueOf(c.Value)
	case profile.OfContext, profile.OfJudge:
	}
	return err
}

// plan puts the checks in stages: each is in the first after those it depends on.
func (p *Plan) plan() error {
	left := make([]int, len(p.checks))
	for i := range p.checks {
		left[i] = i
	}
	done := make([]bool, len(p.checks))
	for len(left) > 0 {
		var stage, rest []int
		for _, i := range left {
			if slices.ContainsFunc(p.checks[i].before, func(b int) bool { return !done[b] }) {
				rest = append(rest, i)
				continue
			}
			stage = append(stage, i)
		}
		if len(stage) == 0 {
			return errChecks("check %q depends on itself by way of others", p.checks[rest[0]].Name)
		}
		for _, i := range stage {
			done[i], p.checks[i].stage = true, len(p.order)
		}
		p.order = append(p.order, stage)
		left = rest
	}
	return nil
}

// Traces reports whether some check looks at the trace.
func (p *Plan) Traces() bool { return p.traces }

// Run runs all checks on a record; the results are in the order of the profile.
func (p *Plan) Run(r Record) []Result {
	results := make([]Result, len(p.checks))
	for _, stage := range p.order {
		for _, i := range stage {
			c := &p.checks[i]
			results[i] = Result{Name: c.Name, Stage: c.stage, Gate: c.Gate}
			if !p.held(c, results, &results[i]) {
				c.run(r, c.within(r.Context, p, results), &results[i])
			}
		}
	}
	return results
}

// held says that a check is not run because of those before it.
func (p *Plan) held(c *check, results []Result, out *Result) bool {
	for _, b := range c.before {
		switch before := &results[b]; {
		case before.Outcome == Skipped || before.Gate && before.Outcome != Passed:
			out.Outcome, out.Message = Skipped, "the gate "+before.Name+" was not passed"
			if before.Outcome == Skipped {
				out.Message = before.Message
			}
			return true
		case before.Outcome == NotRun:
			out.Outcome, out.Message = NotRun, "it depends on "+before.Name+", which was not run"
			return true
		}
	}
	return false
}

// within is the context that a check sees: with the values of those it depends on.
func (c *check) within(context any, p *Plan, results []Result) any {
	if len(c.before) == 0 {
		return context
	}
	scoped := map[string]any{}
	if members, ok := context.(map[string]any); ok {
		for name, v := range members {
			scoped[name] = v
		}
	} else {
		scoped["context"] = context
	}
	for _, b := range c.before {
		scoped[p.checks[b].Name] = results[b].Actual
	}
	return scoped
}

func (c *check) run(r Record, context any, out *Result) {
	switch {
	case c.Of == profile.OfJudge:
		out.Outcome, out.Message = NotRun, "it needs a language model, and none is asked"
		return
	case c.Of == profile.OfTrace && (r.Trace == nil || len(r.Trace.Spans) == 0):
		out.Outcome, out.Message = NotRun, "there is no trace of the record"
		return
	}
	found, err := c.compare(r.Trace, context)
	out.Actual, out.Message, out.Outcome = found.actual, found.message, Passed
	if err != nil {
		out.Message = err.Error()
	}
	if err != nil || !found.passed {
		out.Outcome = Failed
	}
}

// compare compares what the check looks at. An error says that there is no telling.
func (c *check) compare(trace *Trace, context any) (_ verdict, err error) {
	what := comparison{at: context, path: c.Path, item: c.ItemPath, operator: c.Operator, expected: c.expected}
	if c.value == nil {
		return what.compare()
	}
	from := source{trace: trace}
	if c.Of == profile.OfResponse {
		if from.response, err = responseAt(context, c.Path, c.Provider); err != nil {
			return verdict{}, err
		}
	}
	what.path, what.item = "", ""
	if what.at, err = c.value.of(from); err != nil {
		return verdict{}, err
	}
	return what.compare()
}

// maxActual bounds what is kept of a value.
const maxActual = 8 << 10

// Kept is what was compared, as JSON; what is long is cut, and a text then. It is empty
// for nothing.
func (r *Result) Kept() json.RawMessage {
	if r.Actual == nil {
		return nil
	}
	raw, err := json.Marshal(r.Actual)
	if err == nil && len(raw) > maxActual {
		raw, err = json.Marshal(string(cut(raw, maxActual)) + "…")
	}
	if err != nil { // it was read from JSON
		return nil
	}
	return raw
}

// text is a value as JSON, cut to what fits into a message.
func text(v any) string {
	const most = 200
	raw, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if len(raw) > most {
		return string(cut(raw, most)) + "…"
	}
	return string(raw)
}
