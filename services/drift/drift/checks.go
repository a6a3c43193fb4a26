package drift

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/evaluate"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

const (
	// checkedPage is how many records are checked at a time.
	checkedPage = 512
	// checkedAtOnce bounds the records that are checked in one turn of a profile. The
	// others have the next.
	checkedAtOnce = 2048
	// tracesAbreast is how many traces are read at a time.
	tracesAbreast = 4
	// nearTrace is how far from a record in time the spans may begin that carry its id.
	nearTrace = time.Hour
)

// checks are those of a profile.
type checks struct {
	*profile.Checks
	plan *evaluate.Plan
	// rate and features are the positions of what they come to among the numbers of an
	// observation; rate is -1 for none.
	rate     int
	features []int
	numbers  int
}

func newChecks(p *profile.Profile) (*checks, error) {
	if p.Checks == nil {
		return nil, nil //nolint:nilnil // it has none
	}
	plan, err := evaluate.New(p.Checks.All)
	if err != nil {
		return nil, err
	}
	c := &checks{Checks: p.Checks, plan: plan, rate: p.Feature(p.Checks.Rate), numbers: len(p.Features)}
	for _, one := range p.Checks.All {
		c.features = append(c.features, p.Feature(one.Feature))
	}
	return c, nil
}

// neverRun says which checks of a profile are not run.
func neverRun(p *profile.Profile) (warnings []string) {
	if p.Checks == nil {
		return nil
	}
	for _, c := range p.Checks.All {
		if c.Of == profile.OfJudge {
			warnings = append(warnings, fmt.Sprintf("check %s needs a language model: it is not run, and fails nobody", c.Name))
		}
	}
	return warnings
}

// unchecked are minutes whose records were not all checked, and when to look again.
type unchecked struct {
	minutes map[int64]bool
	until   time.Time
}

// wait notes that records of a minute wait.
func (u *unchecked) wait(minute int64, until time.Time) {
	if u.minutes == nil {
		u.minutes = map[int64]bool{}
	}
	if len(u.minutes) == 0 || until.Before(u.until) {
		u.until = until
	}
	u.minutes[minute] = true
}

// postponed are windows that are to be done again.
type postponed struct {
	windows []store.Waiting
	until   time.Time
}

// split parts windows that are done from those that are not; later is nil when all
// are.
func (u *unchecked) split(windows []store.Waiting) (done []store.Waiting, later *postponed) {
	if len(u.minutes) == 0 {
		return windows, nil
	}
	later = &postponed{until: u.until}
	for _, w := range windows {
		if u.minutes[w.Minute] {
			later.windows = append(later.windows, w)
		} else {
			done = append(done, w)
		}
	}
	return done, later
}

// check runs the checks of the records with a context in some minutes that have none
// yet. Those whose traces are not whole yet wait. It may be done at any time, twice, and
// by several workers at once: see package store on the versions of results.
func (e *engine) check(ctx context.Context, p *known, minutes []int64) (left unchecked, err error) {
	if p.checks == nil {
		return left, nil
	}
	of := store.Owner{Tenant: p.Tenant, Profile: p.UID}
	for after, seen := "", 0; ; {
		page, err := e.cells.Unchecked(ctx, of, minutes, after, checkedPage)
		if err != nil || len(page) == 0 {
			return left, err
		}
		if err := e.checkPage(ctx, p, page, &left); err != nil {
			return left, err
		}
		if seen += len(page); seen >= checkedAtOnce {
			for _, minute := range minutes {
				left.wait(minute, e.now())
			}
			return left, nil
		}
		after = page[len(page)-1].Record
	}
}

// checkPage checks some records, and notes the minutes of those that wait.
func (e *engine) checkPage(ctx context.Context, p *known, page []store.ContextRow, left *unchecked) error {
	began := e.now()
	subjects := make([]subject, len(page))
	for i := range page {
		subjects[i] = p.checks.subject(&page[i])
	}
	if p.checks.plan.Traces() {
		if err := e.checkTraces(ctx, p, subjects); err != nil {
			return err
		}
	} else {
		for i := range subjects {
			subjects[i].done = p.checks.run(&subjects[i], nil, e.now)
		}
	}
	var done []store.Checked
	for i := range subjects {
		if s := &subjects[i]; s.done == nil {
			left.wait(minuteOf(s.row.Event), e.nextLook(s.row))
		} else {
			done = append(done, *s.done)
		}
	}
	e.metrics.checked.WithLabelValues("waiting").Add(float64(len(page) - len(done)))
	if len(done) == 0 {
		return nil
	}
	if err := e.cells.WriteChecked(ctx, store.Owner{Tenant: p.Tenant, Profile: p.UID}, done); err != nil {
		return err
	}
	e.metrics.checked.WithLabelValues("done").Add(float64(len(done)))
	e.metrics.checkTime.Observe(e.now().Sub(began).Seconds())
	return nil
}

// subject is a record that is to be checked.
type subject struct {
	row     *store.ContextRow
	context any
	id      string         // of its trace in hex; empty while it is not known
	done    *store.Checked // nil while it waits
}

func (c *checks) subject(row *store.ContextRow) subject {
	s := subject{row: row, id: row.Trace}
	whole, err := evaluate.Decode([]byte(row.JSON))
	if err != nil { // what is stored is JSON, but perhaps nested deeper than is read
		return s
	}
	members, _ := whole.(map[string]any)
	if s.context = whole; c.Member != "" {
		s.context = members[c.Member]
	}
	if named, ok := members[c.TraceMember].(string); ok && s.id == "" && validTrace(named) {
		s.id = named
	}
	return s
}

// validTrace reports whether a text is the id of a trace.
func validTrace(text string) bool {
	const digits = 32
	raw, err := hex.DecodeString(text)
	return err == nil && len(text) == digits && slices.ContainsFunc(raw, func(b byte) bool { return b != 0 })
}

// waits reports whether a record is to be checked later, as its trace, nil while it is
// not there, may still come, or come to be whole.
func (e *engine) waits(s *subject, trace *evaluate.Trace) bool {
	now := e.now()
	// A little later than its last span ended, what others have of it is there too.
	if trace != nil && trace.Whole && !now.Before(trace.End.Add(e.cfg.Grace)) {
		return false
	}
	return now.Before(s.row.Received.Add(e.cfg.TraceWait))
}

// nextLook is when it is looked again for the trace of a record: soon at first, and
// later while it does not come.
func (e *engine) nextLook(row *store.ContextRow) time.Time {
	const part, longest = 4, 30 * time.Second
	now := e.now()
	return now.Add(max(min(now.Sub(row.Received)/part, longest), e.cfg.Refresh))
}

// checkTraces checks the records whose traces came, each of which is read once and is
// not kept. When the store of traces is away all wait: it is nobody's fault.
func (e *engine) checkTraces(ctx context.Context, p *known, subjects []subject) error {
	asking := identity.With(ctx, identity.ForService(name, p.Tenant))
	err := e.linkTraces(asking, p, subjects)
	if err == nil {
		byTrace := map[string][]*subject{}
		for i := range subjects {
			byTrace[subjects[i].id] = append(byTrace[subjects[i].id], &subjects[i])
		}
		group, asking := errgroup.WithContext(asking)
		group.SetLimit(tracesAbreast)
		for id, of := range byTrace {
			group.Go(func() error { return e.checkTrace(asking, p, id, of) })
		}
		err = group.Wait()
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	e.away.Do(func() {
		e.log.Warn("traces of records cannot be read, which wait to be checked", slog.String("tenant", p.Tenant), slog.String("profile", p.UID), telemetry.Err(err))
	})
	for i := range subjects {
		subjects[i].done = nil
	}
	return nil
}

// checkTrace checks the records of a trace; an empty id is none.
func (e *engine) checkTrace(ctx context.Context, p *known, id string, of []*subject) (err error) {
	var trace *evaluate.Trace
	if id != "" {
		if trace, err = e.readTrace(ctx, id); err != nil {
			return err
		}
	}
	for _, s := range of {
		if !e.waits(s, trace) {
			s.done = p.checks.run(s, trace, e.now)
		}
	}
	return nil
}

// linkTraces finds the traces of records by spans that have their ids.
func (e *engine) linkTraces(ctx context.Context, p *known, subjects []subject) error {
	byRecord := map[string]*subject{}
	var first, last time.Time
	for i := range subjects {
		s := &subjects[i]
		if s.id != "" || p.checks.TraceAttribute == "" {
			continue
		}
		if len(byRecord) == 0 || s.row.Event.Before(first) {
			first = s.row.Event
		}
		if s.row.Event.After(last) {
			last = s.row.Event
		}
		byRecord[s.row.Record] = s
	}
	if len(byRecord) == 0 {
		return nil
	}
	req := &tracev1.LinkTracesRequest{
		Attribute: p.checks.TraceAttribute, StartTime: timestamppb.New(first.Add(-nearTrace)), EndTime: timestamppb.New(last.Add(nearTrace)),
	}
	for record := range byRecord {
		req.Values = append(req.Values, record)
	}
	found, err := e.traces.LinkTraces(ctx, req)
	if err != nil {
		return fmt.Errorf("link traces: %w", err)
	}
	for _, link := range found.GetLinks() {
		if s := byRecord[link.GetValue()]; s != nil && validTrace(link.GetTraceId()) {
			s.id = link.GetTraceId()
		}
	}
	return nil
}

// readTrace is nil for a trace that is not there.
func (e *engine) readTrace(ctx context.Context, id string) (*evaluate.Trace, error) {
	var data tracepb.TracesData
	stream, err := e.traces.GetTrace(ctx, &tracev1.GetTraceRequest{TraceId: id})
	for err == nil {
		var part *tracev1.GetTraceResponse
		if part, err = stream.Recv(); err == nil {
			err = proto.UnmarshalOptions{Merge: true}.Unmarshal(part.GetOtlpTraces(), &data)
		}
	}
	switch {
	case errors.Is(err, fault.NotFound):
		return nil, nil //nolint:nilnil // it did not come yet
	case errors.Is(err, io.EOF):
		return evaluate.TraceOf(&data), nil
	}
	return nil, fmt.Errorf("read trace %s: %w", id, err)
}

// States of a value, as observations have them.
const (
	present = 0
	missing = 1
)

// run checks a record with its trace, nil for none.
func (c *checks) run(s *subject, trace *evaluate.Trace, now func() time.Time) *store.Checked {
	out := &store.Checked{ContextRow: s.row, At: now(), Numbers: make([]float64, c.numbers), States: slices.Repeat([]uint8{missing}, c.numbers)}
	if trace != nil {
		out.Spans = len(trace.Spans)
		_, _ = hex.Decode(out.Trace[:], []byte(s.id)) // it was looked at before
	}
	set := func(feature int, value float64) {
		if feature >= 0 {
			out.Numbers[feature], out.States[feature] = value, present
		}
	}
	for i, r := range c.plan.Run(evaluate.Record{Context: s.context, Trace: trace}) {
		out.Sum.Add(&r)
		out.Results = append(out.Results, store.CheckResult{Name: r.Name, Outcome: r.Outcome, Actual: r.Kept(), Message: r.Message, Stage: r.Stage})
		switch r.Outcome {
		case evaluate.Passed:
			set(c.features[i], 1)
		case evaluate.Failed:
			set(c.features[i], 0)
		case evaluate.Skipped, evaluate.NotRun:
		}
	}
	if rate, ok := out.Sum.Rate(); ok {
		set(c.rate, rate)
	}
	out.Took = now().Sub(out.At)
	return out
}
