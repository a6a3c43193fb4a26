package drift

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// minutesAtOnce bounds the windows that a worker claims together.
const minutesAtOnce = 2000

// engine recomputes and evaluates. It is safe for concurrent use.
type engine struct {
	cfg      Config
	state    *store.State
	cells    *store.Cells
	profiles *profileCache
	sources  *sources
	metrics  *metrics
	traces   tracev1.TraceServiceClient
	away     *rate.Sometimes // says that traces cannot be read
	log      *slog.Logger
	now      func() time.Time
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func timeOf(minute int64) time.Time { return time.Unix(minute*60, 0).UTC() }

// recompute computes the cells of windows of one profile, once the checks of their
// records were run. What of the windows is to be done again later is not done.
func (e *engine) recompute(ctx context.Context, p *known, windows []store.Waiting) (done []store.Waiting, later *postponed, err error) {
	start := e.now()
	minutes := make([]int64, len(windows))
	for i, w := range windows {
		minutes[i] = w.Minute
	}
	left, err := e.check(ctx, p, minutes)
	if err != nil {
		return nil, nil, err
	}
	if err := e.cells.Recompute(ctx, p.statements, minutes); err != nil {
		return nil, nil, err
	}
	e.metrics.recomputed.Add(float64(len(windows)))
	e.metrics.recomputeTime.Observe(e.now().Sub(start).Seconds())
	done, later = left.split(windows)
	return done, later, e.spansCame(ctx, p, minutes)
}

// spansCame remembers when spans came of which observations were made. What is told
// of on the topic are spans of a service, and those that the profile's source does not
// describe do not keep its feed alive.
func (e *engine) spansCame(ctx context.Context, p *known, minutes []int64) error {
	at, err := e.cells.Arrived(ctx, p.statements, minutes)
	if err != nil || at.IsZero() {
		return err
	}
	return e.state.Came(ctx, []store.Arrival{{Tenant: p.Tenant, Profile: p.UID, At: earlier(at, e.now())}})
}

// parts cuts windows of one profile into as many as are recomputed at a time. What
// was done of a part is kept when a later one fails.
func (e *engine) parts(ctx context.Context, p *known, windows []store.Waiting) (parts [][]store.Waiting, err error) {
	minutes := make([]int64, len(windows))
	for i, w := range windows {
		minutes[i] = w.Minute
	}
	cut, err := e.cells.Parts(ctx, p.statements, minutes)
	for _, part := range cut {
		parts = append(parts, windows[:len(part)])
		windows = windows[len(part):]
	}
	return parts, err
}

// catchUp recomputes every window of the range that waits, whoever else may be
// at work on it, so that the cells tell of all rows announced so far.
func (e *engine) catchUp(ctx context.Context, p *known, start, end int64, w work) error {
	if err := e.findSpans(ctx, p, start, end); err != nil {
		return err
	}
	waiting, err := e.state.WaitingWindows(ctx, p.Tenant, p.UID, start, end)
	if err != nil {
		return fmt.Errorf("list waiting windows: %w", err)
	}
	if len(waiting) == 0 {
		return w.tell(0, 0)
	}
	parts, err := e.parts(ctx, p, waiting)
	if err != nil {
		return err
	}
	done := 0
	for _, part := range parts {
		if err := w.tell(done, len(waiting)); err != nil {
			return err
		}
		done += len(part)
		part, _, err := e.recompute(ctx, p, part)
		if err != nil {
			return err
		}
		// A profile that is evaluated as windows close needs them to wait on.
		if p.Schedule.OnClose {
			continue
		}
		if err := e.windowsDone(ctx, p, part, w.slot); err != nil {
			return err
		}
	}
	return w.tell(done, len(waiting))
}

// work is what an evaluation is done for.
type work struct {
	// slot is the one that is evaluated; nil if none.
	slot *store.Slot
	// progress hears how many windows are recomputed, of how many, and may end the
	// work with an error; nil if nobody listens.
	progress func(done, total int) error
}

func (w work) tell(done, total int) error {
	if w.progress == nil {
		return nil
	}
	return w.progress(done, total)
}

// findSpans touches the windows of the range with spans that nobody announced to
// the profile, such as those from before there was it.
func (e *engine) findSpans(ctx context.Context, p *known, start, end int64) error {
	minutes, err := e.cells.Missing(ctx, p.statements, start, end)
	if err != nil || len(minutes) == 0 {
		return err
	}
	touches := make([]store.Touch, len(minutes))
	for i, minute := range minutes {
		touches[i] = store.Touch{Tenant: p.Tenant, Profile: p.UID, Minute: minute}
	}
	return e.state.Touch(ctx, touches, e.now(), e.cfg.Refresh)
}

// windowsDone takes recomputed windows off the list.
func (e *engine) windowsDone(ctx context.Context, p *known, windows []store.Waiting, slot *store.Slot) error {
	r := store.Recomputed{Windows: windows, Now: e.now(), Refresh: e.cfg.Refresh, Slot: slot}
	if p.Schedule.OnClose && p.Schedule.Lookback > time.Minute {
		r.Closed = minuteOf(r.Now)
	}
	return e.state.WindowsDone(ctx, r)
}

// evaluate scores a profile over minutes first to before last of event time, by
// all rows announced so far.
func (e *engine) evaluate(ctx context.Context, p *known, first, last int64, w work) (*store.Evaluation, error) {
	if last <= first {
		return nil, fault.Invalid.New("the range from %s to %s is empty", timeOf(first).Format(time.RFC3339), timeOf(last).Format(time.RFC3339)).WithReason("EMPTY_RANGE")
	}
	began := e.now()
	if err := e.catchUp(ctx, p, first, last, w); err != nil {
		return nil, err
	}
	result, err := e.judge(ctx, p, first, last)
	e.metrics.evaluateTime.Observe(e.now().Sub(began).Seconds())
	return result, err
}

// judge scores a profile by the cells of minutes first to before last.
func (e *engine) judge(ctx context.Context, p *known, first, last int64) (*store.Evaluation, error) {
	r := store.Range{Tenant: p.Tenant, Profile: p.UID, Start: first, End: last}
	// Of two results of a slot the later one stands, and later is who began to read
	// later: a worker that was held up after reading must not take the place of one
	// that saw more. Cells that change after this time are late, and judged again.
	began := e.now()
	sample, records, err := e.sample(ctx, p, r)
	if err != nil {
		return nil, err
	}
	result := &store.Evaluation{Tenant: p.Tenant, Profile: p.UID, Start: timeOf(r.Start), End: timeOf(r.End), Records: records, Evaluated: began}
	if result.Scores, err = score.Evaluate(p.Registered.Profile, sample, p.perDay); err != nil {
		return nil, err
	}
	var moved []int
	for i := range result.Scores {
		if s := &result.Scores[i]; s.Verdict == score.Drift {
			moved = append(moved, score.Members(p.Registered.Profile, s.Feature)...)
		}
	}
	slices.Sort(moved)
	if result.Exemplars, err = e.cells.Exemplars(ctx, p.statements, r, slices.Compact(moved)); err != nil {
		return nil, err
	}
	for i := range result.Scores {
		if s := &result.Scores[i]; s.Verdict == score.Drift && s.Feature >= len(p.Features) && result.Exemplars != nil {
			result.Exemplars[s.Feature] = ofMembers(p.Registered.Profile, s.Feature, sample.Counts, result.Exemplars)
		}
	}
	return result, nil
}

// ofMembers are exemplars of each feature of a group: of the bin that has most more
// than its share of the reference.
func ofMembers(p *profile.Profile, group int, counts [][]uint64, found map[int][][]score.Exemplar) (all [][]score.Exemplar) {
	for _, feature := range score.Members(p, group) {
		f, best, most := &p.Features[feature], 0, math.Inf(-1)
		total := uint64(0)
		for _, n := range counts[feature][:len(f.Bins)] {
			total += n
		}
		for i := range f.Bins {
			if more := profile.Share(counts[feature][i], total) - f.Bins[i].Proportion; more > most {
				best, most = i, more
			}
		}
		var list []score.Exemplar
		if bins := found[feature]; best < len(bins) {
			list = bins[best]
		}
		all = append(all, list)
	}
	return all
}

// sample is what the cells of a range say, and of how many records.
func (e *engine) sample(ctx context.Context, p *known, r store.Range) (sample score.Sample, records uint64, err error) {
	sum, err := e.cells.Sum(ctx, r, len(p.Features), p.wants)
	if err == nil && !sum.Measured {
		sum, err = e.measure(ctx, p, r)
	}
	if err != nil {
		return sample, 0, err
	}
	sample.Counts, sample.Measures = sum.Counts, sum.Measures
	sample.Timing = &score.Timing{Start: timeOf(r.Start), End: timeOf(r.End), Last: sum.Last, Known: sum.Measured && p.wants != nil}
	for i := range p.Features {
		// Cells from before there was a special bin have none for it.
		if more := p.Features[i].Cells() - len(sample.Counts[i]); more > 0 {
			sample.Counts[i] = append(sample.Counts[i], make([]uint64, more)...)
		}
	}
	if p.Outcome != nil {
		sample.Outcomes, err = e.cells.Outcomes(ctx, r)
	}
	if err == nil && len(p.Groups) > 0 && sum.Measured {
		sample.Groups, err = e.cells.Products(ctx, r, p.Registered.Profile)
	}
	return sample, sum.Records, err
}

// measure recomputes the windows of a range that were counted before what the
// profile's monitors look at was measured, and adds up again. Those whose records
// are gone stay unknown.
func (e *engine) measure(ctx context.Context, p *known, r store.Range) (*store.Summed, error) {
	minutes, err := e.cells.Unmeasured(ctx, r, p.wants)
	if err != nil {
		return nil, err
	}
	parts, err := e.cells.Parts(ctx, p.statements, minutes)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if err := e.cells.Recompute(ctx, p.statements, part); err != nil {
			return nil, err
		}
	}
	return e.cells.Sum(ctx, r, len(p.Features), p.wants)
}

// conclude brings the alerts up to date with an evaluation.
func (e *engine) conclude(ctx context.Context, p *known, c store.Conclusion) error {
	c.Profile, c.Now, c.Repeat, c.Insufficient = p.Registered, e.now(), e.cfg.Repeat, e.cfg.Insufficient
	return e.state.Conclude(ctx, c)
}
