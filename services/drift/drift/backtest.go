package drift

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// maxSlots bounds what one backtest replays: two years of hours, a week of minutes.
const maxSlots = 20_000

// trial is a profile whose schedule is replayed over the records of a registered one.
type trial struct {
	of *known // whose records
	*derived
	profile *profile.Profile // that judges them
	// statements count records by the bins of a profile that is not registered; nil
	// for one that is. features are its features, by position, in what they count.
	statements *window.Statements
	features   []int

	quietStart, quietEnd, change time.Time // zero when not known
	replays                      []alert.Replay
	// since is, by monitor, whether its alert was open when the change came.
	since   map[string]bool
	summary *driftv1.BacktestSummary
	scores  bool // of each slot are told too
}

// newTrial prepares a backtest of the registered profile, or of candidate in its
// place.
func newTrial(of *known, candidate *profile.Profile) (*trial, error) {
	t := &trial{of: of, derived: of.derived, profile: of.Registered.Profile, since: map[string]bool{}}
	if candidate != nil {
		var err error
		if t.derived, err = derive(&store.Registered{Tenant: of.Tenant, Profile: candidate}); err != nil {
			return nil, err
		}
		t.profile = candidate
		if err := t.project(); err != nil {
			return nil, err
		}
	}
	t.summary = &driftv1.BacktestSummary{}
	for i := range t.profile.Monitors {
		m := &t.profile.Monitors[i]
		t.replays = append(t.replays, alert.Replay{By: m.Persistence})
		t.summary.Monitors = append(t.summary.Monitors, &driftv1.BacktestMonitor{Monitor: m.Name, Detector: m.Detector})
	}
	return t, nil
}

// project makes the statements that count stored records, whose values are in the
// order of the registered profile, by the candidate's bins.
func (t *trial) project() error {
	stored := *t.of.Registered.Profile
	stored.Features, stored.Outcome, stored.Groups = slices.Clone(stored.Features), nil, t.profile.Groups
	var problems []string
	for i := range t.profile.Features {
		f := &t.profile.Features[i]
		at := stored.Feature(f.Name)
		switch {
		case at < 0:
			problems = append(problems, fmt.Sprintf("feature %s: profile %s has none of that name", f.Name, t.of.Title()))
		case stored.Features[at].Kind != f.Kind:
			problems = append(problems, fmt.Sprintf("feature %s: it is a %s, of profile %s a %s", f.Name, f.Kind, t.of.Title(), stored.Features[at].Kind))
		default:
			stored.Features[at] = *f
		}
		t.features = append(t.features, at)
	}
	if len(problems) > 0 {
		return fault.Invalid.New("the candidate cannot judge these records: %s", strings.Join(problems, "; ")).WithReason("INVALID_CANDIDATE")
	}
	t.statements = window.New(t.of.Tenant, t.of.UID, &stored, nil)
	return nil
}

// slots are those of the schedule with a range that ends after start and not after
// end, with where each begins.
func (t *trial) slots(start, end time.Time) (slots []store.Slot, err error) {
	previous := start
	for at := t.schedule.Following(start); !at.IsZero() && minuteOf(at) <= minuteOf(end); at = t.schedule.Following(at) {
		if len(slots) == maxSlots {
			return nil, fault.Invalid.New("the range has more than %d slots of the schedule", maxSlots).WithReason("TOO_MANY_SLOTS")
		}
		slots = append(slots, store.Slot{Previous: previous, At: at})
		previous = at
	}
	return slots, nil
}

// Backtest replays a schedule over stored records.
func (s *server) Backtest(req *driftv1.BacktestRequest, stream grpc.ServerStreamingServer[driftv1.BacktestResponse]) error {
	ctx := stream.Context()
	of, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return err
	}
	start, end, err := s.requested(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return err
	}
	leave, err := s.turn(ctx, of)
	if err != nil {
		return err
	}
	defer leave()
	var candidate *profile.Profile
	if req.GetCandidate() != nil {
		if candidate, err = profileOf(req.GetCandidate()); err != nil {
			return err
		}
		if err := mayKeep(ctx, candidate); err != nil {
			return err
		}
	}
	t, err := newTrial(of, candidate)
	if err != nil {
		return err
	}
	start, end = timeOf(minuteOf(start)), timeOf(minuteOf(end.Add(time.Minute-1)))
	if err := t.about(req, start); err != nil {
		return err
	}
	slots, err := t.slots(start, end)
	if err != nil {
		return err
	}
	if t.scores = req.GetScores(); t.scores {
		if n := len(slots) * len(t.profile.Monitors) * score.Subjects(t.profile); n > maxSeries {
			return fault.Invalid.New("scores: those of %d slots are up to %d, more than %d: ask for a shorter range, or leave them out", len(slots), n, maxSeries).
				WithReason("TOO_MANY_POINTS")
		}
	}
	t.summary.StartTime, t.summary.EndTime, t.summary.Slots = timestamppb.New(start), timestamppb.New(end), uint64(len(slots))
	if err := s.replay(ctx, t, slots, stream.Send); err != nil {
		return err
	}
	return stream.Send(&driftv1.BacktestResponse{Answer: &driftv1.BacktestResponse_Summary{Summary: t.summary}})
}

// about takes in what the caller knows of the range.
func (t *trial) about(req *driftv1.BacktestRequest, start time.Time) error {
	for name, at := range map[string]*timestamppb.Timestamp{"change_time": req.GetChangeTime(), "quiet_start": req.GetQuietStart(), "quiet_end": req.GetQuietEnd()} {
		if at != nil && !at.IsValid() {
			return fault.Invalid.New("%s is no time", name).WithReason("INVALID_TIME")
		}
	}
	if (req.GetQuietStart() == nil) != (req.GetQuietEnd() == nil) {
		return fault.Invalid.New("quiet_start and quiet_end belong together").WithReason("INVALID_TIME")
	}
	if req.GetChangeTime() != nil {
		t.change = req.GetChangeTime().AsTime()
		t.quietStart, t.quietEnd = start, t.change
	}
	if req.GetQuietStart() != nil {
		t.quietStart, t.quietEnd = req.GetQuietStart().AsTime(), req.GetQuietEnd().AsTime()
	}
	return nil
}

// tellEvery is how many slots are replayed from one word of progress to the next.
const tellEvery = 16

// replay judges the slots in order, and tells what each would have brought about.
func (e *engine) replay(ctx context.Context, t *trial, slots []store.Slot, send func(*driftv1.BacktestResponse) error) error {
	progress := func(unit string) func(done, total int) error {
		return func(done, total int) error {
			p := &driftv1.Progress{Done: uint64(done), Total: uint64(total), Unit: unit} //nolint:gosec // positive
			return send(&driftv1.BacktestResponse{Answer: &driftv1.BacktestResponse_Progress{Progress: p}})
		}
	}
	if len(slots) == 0 {
		return nil
	}
	first, _ := t.rangeOf(&slots[0])
	if err := e.catchUp(ctx, t.of, first, minuteOf(slots[len(slots)-1].At), work{progress: progress("windows")}); err != nil {
		return err
	}
	tell := progress("slots")
	for i := range slots {
		if i%tellEvery == 0 {
			if err := tell(i, len(slots)); err != nil {
				return err
			}
		}
		first, last := t.rangeOf(&slots[i])
		scores, err := e.try(ctx, t, first, last)
		if err != nil {
			return err
		}
		if t.scores {
			told := &driftv1.BacktestSlot{
				Slot: timestamppb.New(slots[i].At), RangeStart: timestamppb.New(timeOf(first)), RangeEnd: timestamppb.New(timeOf(last)), Scores: outlines(t.profile, scores),
			}
			if err := send(&driftv1.BacktestResponse{Answer: &driftv1.BacktestResponse_Slot{Slot: told}}); err != nil {
				return err
			}
		}
		for _, change := range t.take(slots[i].At, timeOf(first), timeOf(last), scores) {
			if err := send(&driftv1.BacktestResponse{Answer: &driftv1.BacktestResponse_Change{Change: change}}); err != nil {
				return err
			}
		}
	}
	return tell(len(slots), len(slots))
}

// rangeOf is what a slot judges, as rangeOf of the schedule has it.
func (t *trial) rangeOf(slot *store.Slot) (first, last int64) {
	return rangeOf(&known{Registered: &store.Registered{Profile: t.profile}}, slot)
}

// try judges minutes first to before last.
func (e *engine) try(ctx context.Context, t *trial, first, last int64) ([]score.Score, error) {
	if t.statements == nil {
		sample, records, err := e.sample(ctx, t.of, store.Range{Tenant: t.of.Tenant, Profile: t.of.UID, Start: first, End: last})
		if err != nil {
			return nil, err
		}
		t.summary.Records += records
		return score.Evaluate(t.profile, sample, t.perDay)
	}
	sum, err := e.cells.Count(ctx, t.statements, first, last)
	if err != nil {
		return nil, err
	}
	t.summary.Records += sum.Records
	sample := score.Sample{Counts: make([][]uint64, len(t.features)), Groups: sum.Groups}
	for i, at := range t.features {
		sample.Counts[i] = sum.Counts[at]
	}
	return score.Evaluate(t.profile, sample, t.perDay)
}

// take takes in the scores of a slot, and gives what they would have brought about.
func (t *trial) take(slot, start, end time.Time, scores []score.Score) (changes []*driftv1.BacktestChange) {
	for i := range t.profile.Monitors {
		verdicts := map[string]score.Verdict{}
		judged, drifted := false, false
		for k := range scores {
			s := &scores[k]
			if s.Monitor == t.profile.Monitors[i].Name {
				verdicts[score.Subject(t.profile, s.Feature)] = s.Verdict
				judged, drifted = judged || s.Verdict != score.Insufficient, drifted || s.Verdict == score.Drift
			}
		}
		if len(verdicts) == 0 {
			continue
		}
		m := t.summary.Monitors[i]
		after := !t.change.IsZero() && end.After(t.change)
		if _, seen := t.since[m.GetMonitor()]; after && !seen {
			t.since[m.GetMonitor()] = t.replays[i].Open()
		}
		change, moved := t.replays[i].Take(slot, verdicts)
		t.count(m, start, end, judged, drifted, change == alert.Raised)
		m.Open = t.replays[i].Open()
		if change == alert.Raised && m.Delay == nil && after && !t.since[m.GetMonitor()] {
			m.Delay = durationpb.New(slot.Sub(t.change))
		}
		if change == alert.Raised || change == alert.Grew || change == alert.Resolved {
			changes = append(changes, &driftv1.BacktestChange{
				Slot: timestamppb.New(slot), RangeStart: timestamppb.New(start), RangeEnd: timestamppb.New(end), Monitor: m.GetMonitor(), Change: string(change), Moved: moved,
			})
		}
	}
	return changes
}

// count adds an evaluation to what a monitor came to.
func (t *trial) count(m *driftv1.BacktestMonitor, start, end time.Time, judged, drifted, raised bool) {
	one := func(n *uint64, yes bool) {
		if yes {
			*n++
		}
	}
	one(&m.Judged, judged)
	one(&m.Drifted, drifted)
	one(&m.Alerts, raised)
	if start.Before(t.quietStart) || end.After(t.quietEnd) {
		return
	}
	one(&m.QuietJudged, judged)
	one(&m.QuietDrifted, drifted)
	one(&m.QuietAlerts, raised)
	if m.QuietJudged > 0 {
		rate := float64(m.GetQuietDrifted()) / float64(m.GetQuietJudged())
		m.FalseAlarmRate = &rate
	}
}
