package drift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// nextLate claims minutes that changed after slots had judged them, which are then
// scored again.
func (s *scheduler) nextLate(ctx context.Context, owner string) (func(context.Context) error, error) {
	late, err := s.state.ClaimLate(ctx, owner, s.now(), s.cfg.Lease)
	if err != nil || late == nil {
		return nil, err
	}
	return func(ctx context.Context) error { return s.workLate(ctx, late) }, nil
}

func (s *scheduler) workLate(ctx context.Context, late *store.Late) error {
	err := s.rescore(ctx, late)
	wait := minRetry
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		wait = 0
	case errors.Is(err, fault.Precondition) && fault.Of(err).Reason() == "SLOT_LOST":
		s.log.Warn("scoring late data took longer than its lease", slog.String("profile", late.Profile))
		return nil
	default:
		s.log.Error("late data were not judged", slog.String("tenant", late.Tenant), slog.String("profile", late.Profile),
			slog.Int("minutes", len(late.Minutes)), slog.Duration("retry_in", wait), telemetry.Err(err))
	}
	return s.state.PostponeLate(ctx, late, s.now().Add(wait))
}

// rescore scores again, in order, the slots that judged late minutes. To die on the
// way repeats work: scores have keys, and verdicts that are known change nothing.
func (s *scheduler) rescore(ctx context.Context, late *store.Late) error {
	p, err := s.profiles.get(ctx, late.Tenant, late.Profile)
	if err != nil {
		return err
	}
	active, err := s.state.Active(ctx, p.UID)
	if err != nil {
		return err
	}
	if p.Schedule.OnClose {
		// A window that closes may be adding up cells that it has not scored yet.
		if in, err := s.state.WindowsInHand(ctx, p.UID, s.now()); err != nil || in {
			return errors.Join(err, s.state.PostponeLate(ctx, late, s.now().Add(s.cfg.Poll)))
		}
	}
	var slots []store.Scored
	if active && s.cfg.Late > 0 {
		minutes := minutesOf(late.Minutes)
		if slots, err = s.cells.ScoredSlots(ctx, p.Tenant, p.UID, s.now().Add(-s.cfg.Late), minutes); err != nil {
			return err
		}
	}
	for _, slot := range slots {
		if err := s.state.KeepLate(ctx, late, s.now(), s.cfg.Lease); err != nil {
			return err
		}
		err := s.rescoreSlot(ctx, p, late, slot)
		s.metrics.evaluated(triggerLate, err, 1)
		if err != nil {
			return fmt.Errorf("evaluate slot %s again: %w", slot.Slot.Format(time.RFC3339), err)
		}
	}
	return s.state.LateDone(ctx, late, s.now().Add(s.cfg.Refresh))
}

func (s *scheduler) rescoreSlot(ctx context.Context, p *known, late *store.Late, slot store.Scored) error {
	// The lease must not end under our hands.
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Lease*9/10)
	defer cancel()
	began := s.now()
	result, err := s.judge(ctx, p, slot.Start, slot.End)
	if err != nil {
		return err
	}
	result.Slot, result.Trigger = slot.Slot, slot.Trigger
	if err := s.cells.WriteScores(ctx, result); err != nil {
		return err
	}
	s.metrics.evaluateTime.Observe(s.now().Sub(began).Seconds())
	return s.conclude(ctx, p, store.Conclusion{Result: result, Trigger: slot.Trigger, At: slot.Slot, Late: late})
}

func minutesOf(windows []store.Waiting) []int64 {
	minutes := make([]int64, len(windows))
	for i, w := range windows {
		minutes[i] = w.Minute
	}
	slices.Sort(minutes)
	return minutes
}
