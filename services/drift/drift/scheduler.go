package drift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Bounds of the wait before work that failed is tried again.
const (
	minRetry = time.Second
	maxRetry = 5 * time.Minute
)

func retryWait(attempts int) time.Duration {
	return min(minRetry<<min(attempts, 16), maxRetry)
}

// scheduler evaluates slots of schedules, and windows: it recomputes those that
// are due, and evaluates those that have closed for profiles that want it.
type scheduler struct {
	*engine
	// listened is when feeds were last looked at.
	listened time.Time
	log      *slog.Logger
}

// nextSlot claims a slot that is due.
func (s *scheduler) nextSlot(ctx context.Context, owner string) (func(context.Context) error, error) {
	now := s.now()
	slot, err := s.state.ClaimSlot(ctx, owner, now.Add(-s.cfg.Grace), now, s.cfg.Lease)
	if err != nil || slot == nil {
		return nil, err
	}
	return func(ctx context.Context) error { return s.work(ctx, slot) }, nil
}

// work sees one slot through. A slot that fails is given back and stays due:
// the schedule does not move past it.
func (s *scheduler) work(ctx context.Context, slot *store.Slot) error {
	err := s.runSlot(ctx, slot)
	s.metrics.evaluated(store.TriggerSchedule, err, 1)
	switch {
	case err == nil:
		s.metrics.slotLag.Observe(s.now().Sub(slot.At).Seconds())
		return nil
	case ctx.Err() != nil:
		// Stopping: the next worker need not wait for the lease to end.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return s.state.FailSlot(ctx, slot, s.now())
	case errors.Is(err, fault.Precondition) && fault.Of(err).Reason() == "SLOT_LOST":
		s.log.Warn("an evaluation took longer than its lease", slog.String("profile", slot.Profile), slog.Time("slot", slot.At))
		return nil
	}
	wait := retryWait(slot.Attempts)
	s.log.Error("evaluation failed", slog.String("tenant", slot.Tenant), slog.String("profile", slot.Profile), slog.Time("slot", slot.At),
		slog.Int("attempts", slot.Attempts+1), slog.Duration("retry_in", wait), telemetry.Err(err))
	return s.state.FailSlot(ctx, slot, s.now().Add(wait))
}

// runNow runs the slot that is due, or else one of the present minute, and gives
// when the last one was. To call it again within a minute changes nothing.
func (s *scheduler) runNow(ctx context.Context, p *known) (time.Time, error) {
	slot, last, err := s.state.ClaimNow(ctx, uuid.NewString(), p.UID, s.now(), s.cfg.Lease)
	if err != nil || slot == nil {
		return last, err
	}
	err = s.runSlot(ctx, slot)
	s.metrics.evaluated(store.TriggerSchedule, err, 1)
	if err == nil {
		return slot.At, nil
	}
	// It stays due, and the schedule tries again.
	give, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return last, errors.Join(err, s.state.FailSlot(give, slot, s.now()))
}

func (s *scheduler) runSlot(ctx context.Context, slot *store.Slot) error {
	// The lease must not end under our hands.
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Lease*9/10)
	defer cancel()
	p, err := s.profiles.get(ctx, slot.Tenant, slot.Profile)
	if err != nil {
		return err
	}
	first, last := rangeOf(p, slot)
	next := p.schedule.Following(slot.At)
	if last <= first { // no minute has ended since the slot before: of a release that made such slots
		return s.conclude(ctx, p, store.Conclusion{Result: &store.Evaluation{}, Trigger: store.TriggerSchedule, At: slot.At, Slot: slot, Next: next})
	}
	result, err := s.evaluate(ctx, p, first, last, work{slot: slot})
	if err != nil {
		return err
	}
	result.Slot, result.Trigger = slot.At, store.TriggerSchedule
	if err := s.cells.WriteScores(ctx, result); err != nil {
		return err
	}
	return s.conclude(ctx, p, store.Conclusion{Result: result, Trigger: store.TriggerSchedule, At: slot.At, Slot: slot, Next: next})
}

// rangeOf is what a slot judges: the minutes that are over by then, from where the
// slot before ended, so that each minute belongs to one slot; or as many as the
// profile looks back.
func rangeOf(p *known, slot *store.Slot) (first, last int64) {
	last = minuteOf(slot.At)
	if p.Schedule.Lookback > 0 {
		return last - int64(p.Schedule.Lookback/time.Minute), last
	}
	return minuteOf(slot.Previous), last
}

// nextWindows claims windows of one profile that are due.
func (s *scheduler) nextWindows(ctx context.Context, _ string) (func(context.Context) error, error) {
	windows, err := s.state.ClaimWindows(ctx, s.now(), s.cfg.Lease, minutesAtOnce)
	if err != nil || len(windows) == 0 {
		return nil, err
	}
	return func(ctx context.Context) error { return s.workWindows(ctx, windows) }, nil
}

func (s *scheduler) workWindows(ctx context.Context, windows []store.Waiting) error {
	err := s.runWindows(ctx, windows)
	if err == nil {
		return nil
	}
	wait := minRetry
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		wait = 0
	} else {
		s.log.Error("windows were not recomputed", slog.String("tenant", windows[0].Tenant), slog.String("profile", windows[0].Profile),
			slog.Int("windows", len(windows)), slog.Duration("retry_in", wait), telemetry.Err(err))
	}
	return s.state.PostponeWindows(ctx, windows, s.now().Add(wait))
}

func (s *scheduler) runWindows(ctx context.Context, windows []store.Waiting) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Lease*9/10)
	defer cancel()
	p, err := s.profiles.get(ctx, windows[0].Tenant, windows[0].Profile)
	if err != nil {
		return err
	}
	parts, err := s.parts(ctx, p, windows)
	if err != nil {
		return err
	}
	for _, part := range parts {
		done, later, err := s.recompute(ctx, p, part)
		if err != nil {
			return err
		}
		if err := s.settle(ctx, p, done); err != nil {
			return err
		}
		if later != nil {
			if err := s.state.PostponeWindows(ctx, later.windows, later.until); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle takes recomputed windows off the list, or evaluates them first where
// the profile wants it.
func (s *scheduler) settle(ctx context.Context, p *known, windows []store.Waiting) error {
	if !p.Schedule.OnClose {
		return s.windowsDone(ctx, p, windows, nil)
	}
	for _, w := range windows {
		if err := s.close(ctx, p, w); err != nil {
			return err
		}
	}
	return nil
}

// close evaluates a window of an active profile that wants it, if it is over;
// else it waits until then.
func (s *scheduler) close(ctx context.Context, p *known, w store.Waiting) error {
	end := timeOf(w.Minute + 1)
	if over := end.Add(s.cfg.Grace); s.now().Before(over) {
		return s.state.PostponeWindows(ctx, []store.Waiting{w}, over)
	}
	active, err := s.state.Active(ctx, p.UID)
	if err != nil {
		return err
	}
	if !active {
		return s.windowsDone(ctx, p, []store.Waiting{w}, nil)
	}
	err = s.evaluateClosed(ctx, p, end)
	s.metrics.evaluated(store.TriggerClose, err, 1)
	if err != nil {
		return fmt.Errorf("evaluate closed window %s: %w", end.Format(time.RFC3339), err)
	}
	return s.windowsDone(ctx, p, []store.Waiting{w}, nil)
}

func (s *scheduler) evaluateClosed(ctx context.Context, p *known, end time.Time) error {
	first, last := minuteOf(end.Add(-max(p.Schedule.Lookback, time.Minute))), minuteOf(end)
	if err := s.catchUp(ctx, p, first, last-1, work{}); err != nil { // the last one was just recomputed
		return err
	}
	result, err := s.judge(ctx, p, first, last)
	if err != nil {
		return err
	}
	result.Slot, result.Trigger = end, store.TriggerClose
	if err := s.cells.WriteScores(ctx, result); err != nil {
		return err
	}
	return s.conclude(ctx, p, store.Conclusion{Result: result, Trigger: store.TriggerClose, At: end})
}

// listenEvery is how often feeds are looked at.
const listenEvery = 10 * time.Second

// listen notices feeds that have died, or come to life.
func (s *scheduler) listen(ctx context.Context) error {
	now := s.now()
	if s.cfg.Silence == 0 && s.cfg.Unfed == 0 || now.Before(s.listened.Add(listenEvery)) {
		return nil
	}
	s.listened = now
	return s.state.Listen(ctx, now, store.Patience{Silence: s.cfg.Silence, Unfed: s.cfg.Unfed})
}

// measure forgets windows that do not wait any more, and shows what waits.
func (s *scheduler) measure(ctx context.Context) error {
	if err := s.state.ForgetWindows(ctx, s.now()); err != nil {
		return err
	}
	waiting, oldest, err := s.state.WindowBacklog(ctx)
	if err != nil {
		return err
	}
	s.metrics.waiting.Set(float64(waiting))
	age := 0.0
	if !oldest.IsZero() {
		age = max(s.now().Sub(oldest).Seconds(), 0)
	}
	s.metrics.waitingAge.Set(age)
	return nil
}

// every calls look again and again until ctx ends, a pause after each. What
// fails is logged, and done again.
func every(ctx context.Context, pause time.Duration, logger *slog.Logger, what string, look func(context.Context) error) error {
	tick := time.NewTimer(pause)
	defer tick.Stop()
	for {
		if err := look(ctx); err != nil && ctx.Err() == nil {
			logger.Warn("will try again", slog.String("work", what), telemetry.Err(err))
		}
		tick.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
